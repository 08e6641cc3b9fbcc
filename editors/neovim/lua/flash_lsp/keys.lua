--- Insert mode keys. A key does what it did before where there is nothing to accept.
local config = require('flash_lsp.config')

local M = {}

local ACTIONS = {
  accept = { 'accept("all")', 'accept the suggestion' },
  accept_word = { 'accept("word")', "accept the suggestion's next word" },
  accept_line = { 'accept("line")', "accept the suggestion's next line" },
  next = { 'cycle(1)', 'next suggestion' },
  previous = { 'cycle(-1)', 'previous suggestion' },
  dismiss = { 'abort()', 'dismiss the suggestion' },
}

--- What the key did before, as a function that returns the keys to type in its place.
---@param key string
---@param mapping table of `maparg`, empty where the key had none
---@return fun(): string?
local function before(key, mapping)
  local action = mapping.callback or mapping.rhs
  if not action then
    return function()
      return key
    end
  elseif mapping.expr ~= 1 then
    return type(action) == 'string' and function()
      return action
    end or function()
      vim.schedule(action)
    end
  end
  return function()
    local keys = mapping.callback and action() or vim.api.nvim_eval(action)
    return mapping.replace_keycodes == 1 and keys or keys and vim.fn.keytrans(keys)
  end
end

---@param key string
---@param action string  Lua, on flash_lsp.inline
---@param description string
local function map(key, action, description)
  local mapping = vim.fn.maparg(key, 'i', false, true)
  local otherwise = before(key, mapping)
  local cycles = vim.startswith(action, 'cycle')
  vim.keymap.set('i', key, function()
    if cycles or require('flash_lsp.inline').shown() then
      -- As a command it runs before the keys that are typed ahead; <C-g>u: undone by itself.
      return ('<C-g>u<Cmd>lua require("flash_lsp.inline").%s<CR>'):format(action)
    end
    return otherwise() or ''
  end, { expr = true, remap = mapping.noremap == 0, desc = 'flash-lsp: ' .. description })
end

function M.map()
  for name, key in pairs(config.options.keys) do
    if key then
      map(key, unpack(ACTIONS[name]))
    end
  end
end

return M
