--- `:FlashLsp`.
local inline = require('flash_lsp.inline')
local protocol = require('flash_lsp.protocol')
local status = require('flash_lsp.status')

local M = {}

---@param lines string[]
local function say(lines)
  vim.api.nvim_echo({ { table.concat(lines, '\n') } }, true, {})
end

--- Have the server run one of its commands, if it offers that.
---@param name string
---@param arguments any[]
---@param tell fun(answer: any): string[] what to say of the answer
local function execute(name, arguments, tell)
  local client = inline.client()
  local offered = client and vim.tbl_get(client.server_capabilities, 'executeCommandProvider', 'commands') or {}
  if not client or not vim.list_contains(offered, name) then
    say({ ('flash-lsp: no server in this buffer that offers %s'):format(name) })
    return
  end
  client:request('workspace/executeCommand', { command = name, arguments = arguments }, function(err, answer)
    say(err and { 'flash-lsp: ' .. err.message } or tell(answer ~= vim.NIL and answer or nil))
  end)
end

---@type table<string, fun(argument?: string)>
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

---@param minutes? string 0: no longer
function commands.snooze(minutes)
  execute(protocol.SNOOZE, minutes and { tonumber(minutes) } or {}, function(answer)
    return { ('flash-lsp: no suggestions for %g minutes'):format(answer.minutes) }
  end)
end

function commands.language()
  local language = vim.bo.filetype
  execute(protocol.TOGGLE, { language }, function(answer)
    return { ('flash-lsp: %s for %s'):format(answer.enabled and 'on' or 'off', language) }
  end)
end

function commands.why()
  execute(protocol.EXPLAIN, {}, function(answer)
    return { answer and ('flash-lsp: %s (%s)'):format(answer.message, answer.reason) or 'flash-lsp: no reply was empty so far' }
  end)
end

function commands.stats()
  execute(protocol.STATS, {}, function(answer)
    return vim.split(vim.inspect(answer), '\n')
  end)
end

function commands.clear()
  execute(protocol.CLEAR_CACHES, {}, function()
    return { 'flash-lsp: caches cleared' }
  end)
end

function commands.reload()
  execute(protocol.RELOAD, {}, function(answer)
    return { 'flash-lsp: ' .. answer.message }
  end)
end

function commands.doctor()
  local command = vim.lsp.config[inline.NAME].cmd
  if type(command) ~= 'table' then
    say({ 'flash-lsp: the server was not found; see :checkhealth flash_lsp' })
    return
  end
  local doctor = vim.list_extend(vim.list_slice(command, 1, #command - 1), { 'doctor' })
  vim.cmd.new()
  vim.fn.jobstart(doctor, { term = true })
end

function commands.log()
  vim.cmd.split(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  vim.cmd.normal({ 'G', bang = true })
end

---@param words string[] the command's name and its argument; none: status
function M.run(words)
  local name, argument = words[1] or 'status', words[2]
  local command = commands[name]
  if command then
    command(argument)
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
