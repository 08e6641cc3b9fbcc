--- Ghost text of the plugin's own client: virtual text at the cursor and virtual lines below it.
local M = {}

local namespace = vim.api.nvim_create_namespace('flash_lsp')

---@param bufnr integer
---@param text? string nil: nothing
function M.draw(bufnr, text)
  vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  if not text then
    return
  end
  local lines = vim.tbl_map(function(line)
    return { { line, 'FlashLspGhost' } }
  end, vim.split(text, '\n', { plain = true }))
  local row, col = unpack(vim.api.nvim_win_get_cursor(vim.fn.bufwinid(bufnr)))
  vim.api.nvim_buf_set_extmark(bufnr, namespace, row - 1, col, {
    virt_text = lines[1],
    virt_text_pos = 'inline',
    virt_lines = { unpack(lines, 2) },
    hl_mode = 'combine',
    undo_restore = false,
  })
end

return M
