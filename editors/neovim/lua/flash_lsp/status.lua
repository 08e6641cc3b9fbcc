--- What the server says of itself: `flash-lsp/status`, and how far the model is loaded.
local M = {}

---@class flash_lsp.Status
---@field state string loading, ready, thinking, silent, paused, error
---@field reason? string why it is silent
---@field percent? integer
---@field message? string

---@type table<integer, flash_lsp.Status> by client id
local states = {}

---@param client_id integer
---@param status? flash_lsp.Status
function M.set(client_id, status)
  states[client_id] = status
  vim.api.nvim_exec_autocmds('User', { pattern = 'FlashLspStatus', data = status })
  vim.cmd.redrawstatus({ bang = true })
end

---@type lsp.Handler
function M.on_status(_, params, ctx)
  M.set(ctx.client_id, params)
end

--- `$/progress`, while the model is loaded.
---@param client_id integer
---@param value { kind: string, percentage?: integer }
function M.on_progress(client_id, value)
  local status = states[client_id]
  if status and status.state == 'loading' and value.percentage then
    M.set(client_id, vim.tbl_extend('force', status, { percent = value.percentage }))
  end
end

---@param client vim.lsp.Client
---@return flash_lsp.Status
function M.of(client)
  if not require('flash_lsp.inline').enabled then
    return { state = 'paused' }
  end
  return states[client.id] or { state = 'loading' }
end

---@return flash_lsp.Status? # of the server in the current buffer; nil where none is attached
function M.get()
  local client = require('flash_lsp.inline').client()
  if client then
    return M.of(client)
  end
  return require('flash_lsp.recovery').failure()
end

--- For a statusline: "flash: ready", "flash: loading 34 %", "flash: silent (mid-line)"; empty where no server is.
---@return string
function M.text()
  local status = M.get()
  if not status then
    return ''
  end
  local detail = status.percent and status.state == 'loading' and (' %d %%'):format(status.percent)
    or status.reason and (' (%s)'):format(status.reason)
    or ''
  return 'flash: ' .. status.state .. detail
end

return M
