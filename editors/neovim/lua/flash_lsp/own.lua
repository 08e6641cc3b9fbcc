--- The plugin's own client of `textDocument/inlineCompletion`, for editors that have none (Neovim 0.11).
local config = require('flash_lsp.config')
local ghost = require('flash_lsp.ghost')
local protocol = require('flash_lsp.protocol')
local suggestion = require('flash_lsp.suggestion')

local M = {}

local timer = assert(vim.uv.new_timer())

---@type { client: vim.lsp.Client, id: integer }?
local pending

local function cancel()
  timer:stop()
  if pending then
    pending.client:cancel_request(pending.id)
    pending = nil
  end
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param kind? integer the trigger kind; automatic if nil
function M.ask(client, bufnr, kind)
  cancel()
  local tick = vim.api.nvim_buf_get_changedtick(bufnr)
  local params = vim.lsp.util.make_position_params(vim.fn.bufwinid(bufnr), client.offset_encoding)
  params.context = { triggerKind = kind or protocol.AUTOMATIC }
  local request
  local sent, id = client:request(protocol.INLINE_COMPLETION, params, function(err, result)
    if pending ~= request or tick ~= vim.api.nvim_buf_get_changedtick(bufnr) then
      return
    end
    pending = nil
    if not err then
      suggestion.take(client, bufnr, result)
      M.draw(bufnr)
    end
  end, bufnr)
  request = sent and { client = client, id = id } or nil
  pending = request
end

--- Draw what remains of the suggestion.
---@param bufnr integer
function M.draw(bufnr)
  ghost.draw(bufnr, suggestion.remaining(bufnr))
end

--- Stop asking, and forget what is shown.
---@param bufnr integer
function M.abort(bufnr)
  cancel()
  suggestion.clear()
  ghost.draw(bufnr, nil)
end

--- Ask and draw in this buffer as it is typed in.
---@param client vim.lsp.Client
---@param bufnr integer
---@param group integer of the autocommands
function M.attach(client, bufnr, group)
  vim.api.nvim_create_autocmd({ 'InsertEnter', 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      cancel()
      M.draw(bufnr)
      timer:start(
        config.options.debounce_ms,
        0,
        vim.schedule_wrap(function()
          if vim.api.nvim_get_current_buf() == bufnr and vim.api.nvim_get_mode().mode:sub(1, 1) == 'i' then
            M.ask(client, bufnr)
          end
        end)
      )
    end,
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      M.abort(bufnr)
    end,
  })
end

return M
