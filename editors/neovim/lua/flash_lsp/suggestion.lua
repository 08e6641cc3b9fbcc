--- The suggestions at the cursor, and what of the chosen one is still ahead of it.
local M = {}

---@class flash_lsp.Candidate
---@field text string lines end at \n
---@field row integer where the text begins, 0-based
---@field col integer in bytes
---@field tail string what stands behind the cursor in its line
---@field command? lsp.Command to run once the whole text is accepted

---@class flash_lsp.Suggestions
---@field bufnr integer
---@field client vim.lsp.Client
---@field candidates flash_lsp.Candidate[]
---@field index integer

---@type flash_lsp.Suggestions?
local current

--- Places to go on as soon as more suggestions have come.
local awaited_step = 0

---@param bufnr integer
---@return integer row, integer col 0-based, in bytes; of the window that shows the buffer
local function cursor(bufnr)
  local row, col = unpack(vim.api.nvim_win_get_cursor(vim.fn.bufwinid(bufnr)))
  return row - 1, col
end

---@param bufnr integer
---@param row integer
---@return string
local function line_at(bufnr, row)
  return vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
end

--- One item of a reply for the place where the cursor stands; nil for what can't be drawn as text behind the cursor:
--- a snippet, or an item that replaces text there.
---@param client vim.lsp.Client
---@param bufnr integer
---@param item lsp.InlineCompletionItem
---@return flash_lsp.Candidate?
local function candidate(client, bufnr, item)
  if type(item.insertText) ~= 'string' then
    return
  end
  local row, col = cursor(bufnr)
  local start_row, start_col = row, col
  if item.range then
    local function byte_column(position)
      return vim.str_byteindex(line_at(bufnr, position.line), client.offset_encoding, position.character, false)
    end
    if item.range['end'].line ~= row or byte_column(item.range['end']) ~= col then
      return
    end
    start_row, start_col = item.range.start.line, byte_column(item.range.start)
  end
  return {
    text = item.insertText:gsub('\r\n?', '\n'),
    row = start_row,
    col = start_col,
    tail = line_at(bufnr, row):sub(col + 1),
    command = item.command,
  }
end

--- Take a reply that was made for the buffer as it is.
---@param client vim.lsp.Client
---@param bufnr integer
---@param result? lsp.InlineCompletionItem[]|lsp.InlineCompletionList
function M.take(client, bufnr, result)
  local candidates = {}
  for _, item in ipairs(result and (result.items or result) or {}) do
    table.insert(candidates, candidate(client, bufnr, item))
  end
  local index = #candidates > 1 and awaited_step % #candidates + 1 or 1
  awaited_step = 0
  current = #candidates > 0 and { bufnr = bufnr, client = client, candidates = candidates, index = index } or nil
end

function M.clear()
  current = nil
  awaited_step = 0
end

--- What is left to type of the chosen suggestion: its text without what stands between its beginning and the cursor.
--- Nil if there is none, or if the buffer no longer agrees with it.
---@param bufnr integer
---@return string? text
function M.remaining(bufnr)
  if not current or current.bufnr ~= bufnr then
    return
  end
  local chosen = current.candidates[current.index]
  local row, col = cursor(bufnr)
  if row < chosen.row or (row == chosen.row and col < chosen.col) or line_at(bufnr, row):sub(col + 1) ~= chosen.tail then
    return
  end
  local in_place, typed = pcall(vim.api.nvim_buf_get_text, bufnr, chosen.row, chosen.col, row, col, {})
  if not in_place then
    return
  end
  local text = table.concat(typed, '\n')
  if vim.startswith(chosen.text, text) and #text < #chosen.text then
    return chosen.text:sub(#text + 1)
  end
end

--- Choose the suggestion `step` places on. Where there is one only, that is done once more of them have come.
---@param step integer
---@return boolean # whether there is more than one
function M.cycle(step)
  if not current or #current.candidates < 2 then
    awaited_step = current and step or 0
    return false
  end
  current.index = (current.index - 1 + step) % #current.candidates + 1
  return true
end

--- Run the chosen suggestion's command, if the server sent one, and forget the suggestion.
function M.finish()
  local finished = current
  current = nil
  local command = finished and finished.candidates[finished.index].command
  if finished and command then
    finished.client:exec_cmd(command, { bufnr = finished.bufnr })
  end
end

return M
