--- Starting the server again: on demand, and by itself after a crash.
local M = {}

local NAME = 'flash_lsp'
local FIRST_WAIT_MS = 500
local MOST_CRASHES = 5
local SIGTERM = 15
--- Crashes longer ago than this count no more.
local MEMORY_MS = 180000

---@type integer[] times, ms
local crashes = {}

--- Start the server for all buffers that it serves.
function M.start()
  vim.lsp.enable(NAME)
end

function M.restart()
  crashes = {}
  local clients = vim.lsp.get_clients({ name = NAME, _uninitialized = true })
  vim.lsp.enable(NAME, false)
  local function ended()
    return vim.iter(clients):all(function(client)
      return vim.lsp.get_client_by_id(client.id) == nil
    end)
  end
  if not vim.wait(2000, ended, 20) then
    for _, client in ipairs(clients) do
      client:stop(true)
    end
  end
  M.start()
end

---@param code integer
---@param signal integer
function M.on_exit(code, signal)
  local asked_to_end = (code == 0 and signal == 0) or signal == SIGTERM
  if asked_to_end or vim.v.exiting ~= vim.NIL then
    return
  end
  local now = vim.uv.now()
  crashes = vim.tbl_filter(function(time)
    return now - time < MEMORY_MS
  end, crashes)
  table.insert(crashes, now)
  vim.schedule(function()
    if #crashes > MOST_CRASHES then
      vim.notify(('flash-lsp: %s; see :FlashLsp log'):format(M.failure().message), vim.log.levels.ERROR)
    else
      vim.defer_fn(M.start, FIRST_WAIT_MS * 2 ^ (#crashes - 1))
    end
  end)
end

---@return flash_lsp.Status? # nil unless the server ended too often
function M.failure()
  if #crashes > MOST_CRASHES then
    return { state = 'error', message = ('the server ended %d times and is not started again'):format(#crashes) }
  end
end

return M
