--- Suggestions in the buffers that the server is attached to: what the keys, the commands and the server do to them.
local accept = require('flash_lsp.accept')
local config = require('flash_lsp.config')
local protocol = require('flash_lsp.protocol')
local suggestion = require('flash_lsp.suggestion')

local M = {}

M.NAME = 'flash_lsp'

M.enabled = true

---@return 'builtin'|'own' # who asks and draws
function M.backend_name()
  local chosen = config.options.backend
  if chosen ~= 'auto' then
    return chosen
  end
  return vim.lsp.inline_completion and 'builtin' or 'own'
end

local function backend()
  return require('flash_lsp.' .. M.backend_name())
end

---@param bufnr integer
local function group(bufnr)
  return vim.api.nvim_create_augroup('flash_lsp.' .. bufnr, { clear = true })
end

---@param bufnr? integer
---@return vim.lsp.Client? # the server's client in the buffer, or the current one
function M.client(bufnr)
  return vim.lsp.get_clients({ bufnr = bufnr or vim.api.nvim_get_current_buf(), name = M.NAME })[1]
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  if M.enabled and client.server_capabilities.inlineCompletionProvider then
    backend().attach(client, bufnr, group(bufnr))
  end
end

---@param bufnr integer
function M.detach(bufnr)
  group(bufnr)
  if backend().detach then
    backend().detach(bufnr)
  end
end

--- Pause suggestions in all buffers, here and in the server, or go on with them.
---@param enabled boolean
function M.enable(enabled)
  M.abort()
  M.enabled = enabled
  for _, client in ipairs(vim.lsp.get_clients({ name = M.NAME })) do
    client.settings = vim.tbl_deep_extend('force', client.settings or {}, { ['flash-lsp'] = { enabled = enabled } })
    client:notify('workspace/didChangeConfiguration', { settings = client.settings })
    for bufnr in pairs(client.attached_buffers) do
      if enabled then
        M.attach(client, bufnr)
      else
        M.detach(bufnr)
      end
    end
  end
end

---@return string? # the text that is shown at the cursor
function M.shown()
  return suggestion.remaining(vim.api.nvim_get_current_buf())
end

--- Insert the shown suggestion, or its next word or line. The rest stays on show.
---@param part 'all'|'word'|'line'
---@return boolean # false if nothing is shown
function M.accept(part)
  local shown = M.shown()
  if not shown then
    return false
  end
  local taken = accept.parts[part](shown)
  accept.insert(taken)
  if taken == shown then
    suggestion.finish()
  end
  backend().draw(vim.api.nvim_get_current_buf())
  vim.api.nvim_exec_autocmds('User', { pattern = 'FlashLspAccepted', data = { text = taken, part = part } })
  return true
end

--- Show another suggestion; asks the server for more where there is only one.
---@param step integer 1 forwards, -1 backwards
function M.cycle(step)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = M.client(bufnr)
  if suggestion.cycle(step) then
    backend().draw(bufnr)
  elseif client then
    backend().ask(client, bufnr, protocol.INVOKED)
  end
end

--- Hide the suggestion until something is typed.
function M.abort()
  backend().abort(vim.api.nvim_get_current_buf())
end

--- `flash-lsp/ready`: there is more to say at this place than the last reply did.
---@type lsp.Handler
function M.on_ready(_, params, ctx)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = vim.lsp.get_client_by_id(ctx.client_id)
  if not (M.enabled and client and vim.api.nvim_get_mode().mode:sub(1, 1) == 'i') then
    return
  end
  local here = vim.lsp.util.make_position_params(0, client.offset_encoding)
  if here.textDocument.uri == params.uri and vim.deep_equal(here.position, params.position) then
    backend().ask(client, bufnr)
  end
end

return M
