--- The plugin's options: defaults, and the user's over them.
local M = {}

---@class flash_lsp.Keys  Insert mode keys; false leaves an action without one.
---@field accept string|false
---@field accept_word string|false
---@field accept_line string|false
---@field next string|false
---@field previous string|false
---@field dismiss string|false

---@class flash_lsp.Options
---@field cmd? string[] How the server is started; nil: see flash_lsp.server.
---@field settings table<string, any> The server's settings (its section "flash-lsp").
---@field backend 'auto'|'builtin'|'own' Who asks and draws; auto: the editor where it can (0.12), else the plugin.
---@field debounce_ms integer How long the plugin's own client waits after a change; the editor's always waits 200.
---@field keys flash_lsp.Keys

---@type flash_lsp.Options
local defaults = {
  cmd = nil,
  settings = {},
  backend = 'auto',
  debounce_ms = 30,
  keys = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-C-Right>',
    next = '<M-]>',
    previous = '<M-[>',
    dismiss = '<C-]>',
  },
}

---@type flash_lsp.Options
M.options = vim.deepcopy(defaults)

---@param options? table the user's, over the defaults
---@return flash_lsp.Options
function M.set(options)
  local merged = vim.tbl_deep_extend('force', defaults, options or {})
  vim.validate('cmd', merged.cmd, 'table', true)
  vim.validate('settings', merged.settings, 'table')
  vim.validate('backend', merged.backend, function(value)
    return vim.list_contains({ 'auto', 'builtin', 'own' }, value)
  end, 'auto, builtin or own')
  vim.validate('debounce_ms', merged.debounce_ms, 'number')
  vim.validate('keys', merged.keys, 'table')
  for name, key in pairs(merged.keys) do
    if defaults.keys[name] == nil then
      error(('flash-lsp: keys.%s: no such action (%s)'):format(name, table.concat(vim.tbl_keys(defaults.keys), ', ')))
    end
    vim.validate('keys.' .. name, key, function(value)
      return value == false or type(value) == 'string'
    end, 'a key or false')
  end
  M.options = merged
  return merged
end

return M
