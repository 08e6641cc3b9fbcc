--- `:FlashLsp`.
local inline = require('flash_lsp.inline')
local protocol = require('flash_lsp.protocol')
local status = require('flash_lsp.status')

local M = {}

---@param lines string[]
local function say(lines)
  vim.api.nvim_echo({ { table.concat(lines, '\n') } }, true, {})
end

---@type table<string, fun()>
local commands = {}

function commands.status()
  local now = status.get()
  if not now then
    say({ 'flash-lsp: no server in this buffer; see :checkhealth flash_lsp' })
    return
  end
  local client = inline.client()
  local lines = { status.text(), now.message }
  if client then
    vim.list_extend(lines, {
      'server:   ' .. table.concat(client.config.cmd --[[@as string[] ]], ' '),
      'folder:   ' .. (client.root_dir or '(none)'),
      'drawn by: ' .. (inline.backend_name() == 'builtin' and 'vim.lsp.inline_completion' or 'the plugin'),
      'columns:  ' .. client.offset_encoding,
    })
  end
  say(lines)
end

function commands.restart()
  require('flash_lsp.recovery').restart()
end

function commands.toggle()
  inline.enable(not inline.enabled)
  say({ status.text() })
end

function commands.stats()
  local client = inline.client()
  local offered = client and vim.tbl_get(client.server_capabilities, 'executeCommandProvider', 'commands') or {}
  if not client or not vim.list_contains(offered, protocol.STATS) then
    say({ 'flash-lsp: no server with statistics in this buffer' })
    return
  end
  client:request('workspace/executeCommand', { command = protocol.STATS }, function(err, result)
    say(err and { 'flash-lsp: ' .. err.message } or vim.split(vim.inspect(result), '\n'))
  end)
end

function commands.log()
  vim.cmd.split(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  vim.cmd.normal({ 'G', bang = true })
end

---@param name string "": status
function M.run(name)
  local command = commands[name == '' and 'status' or name]
  if command then
    command()
  else
    vim.notify(('flash-lsp: no command %q; there are: %s'):format(name, table.concat(M.complete(''), ', ')), vim.log.levels.ERROR)
  end
end

---@param lead string
---@return string[]
function M.complete(lead)
  local names = vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, vim.tbl_keys(commands))
  table.sort(names)
  return names
end

return M
