--- Where the server's program is found.
local M = {}

local PROGRAM = vim.fn.has('win32') == 1 and 'flash-lsp.exe' or 'flash-lsp'

--- Programs beside the plugin (a checkout in which `make` was run) and where pipx and uv put theirs.
---@return string[]
local function beyond_path()
  local plugin = vim.fs.dirname(vim.fs.dirname(vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))))
  local checkout = vim.fs.dirname(vim.fs.dirname(plugin))
  local scripts = vim.fn.has('win32') == 1 and 'Scripts' or 'bin'
  return {
    vim.fs.joinpath(checkout, '.venv', scripts, PROGRAM),
    vim.fs.normalize(vim.fs.joinpath('~', '.local', 'bin', PROGRAM)),
  }
end

--- The program: on PATH (an activated virtual environment is), else in the places above. Never one from the folder
--- that is being edited: opening a file must not run what lies beside it.
---@return string? path
function M.program()
  for _, candidate in ipairs({ PROGRAM, unpack(beyond_path()) }) do
    if vim.fn.executable(candidate) == 1 then
      return vim.fn.exepath(candidate)
    end
  end
end

---@return string[]? command that starts the server; nil if it is not installed
function M.command()
  local program = M.program()
  return program and { program, 'serve' }
end

return M
