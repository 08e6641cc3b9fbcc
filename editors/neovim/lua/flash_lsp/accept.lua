--- How much of a suggestion is taken, and putting it into the buffer.
local M = {}

--- The first word, with the white space before it: letters, digits, _ and whatever is not ASCII; or else a run of
--- punctuation.
---@param text string
---@return string
local function word(text)
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_\128-\255]+') or text
end

--- The rest of the line; of the next line, with the line end before it, where nothing is left of this one.
---@param text string
---@return string
local function line(text)
  return text:match('^\n?[^\n]*')
end

---@type table<'all'|'word'|'line', fun(text: string): string>
M.parts = {
  all = function(text)
    return text
  end,
  word = word,
  line = line,
}

--- Insert at the cursor of the current window and move the cursor behind the text. Can be undone by itself.
---@param text string lines end at \n
function M.insert(text)
  local lines = vim.split(text, '\n', { plain = true })
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  vim.api.nvim_buf_set_text(0, row - 1, col, row - 1, col, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and col or 0) + #lines[#lines] })
end

return M
