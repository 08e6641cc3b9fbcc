--- `:checkhealth flash_lsp`.
local inline = require('flash_lsp.inline')
local server = require('flash_lsp.server')
local status = require('flash_lsp.status')

local M = {}

local health = vim.health

local function check_editor()
  health.start('Editor')
  if vim.fn.has('nvim-0.11') == 0 then
    health.error('Neovim is older than 0.11', 'Install Neovim 0.11 or newer')
    return
  end
  health.ok('Neovim ' .. tostring(vim.version()))
  if inline.backend_name() == 'builtin' then
    health.ok('suggestions are drawn by vim.lsp.inline_completion')
  else
    health.ok("suggestions are drawn by the plugin's own client")
  end
end

local function check_program()
  health.start('Server')
  local config = vim.lsp.config[inline.NAME]
  local command = config and config.cmd
  if type(command) ~= 'table' or vim.fn.executable(command[1]) == 0 then
    health.error('flash-lsp is not installed, or not on PATH', {
      'Install it: make wheel in its checkout, then: pipx install dist/flash_lsp-*.whl',
      "Or name it: require('flash_lsp').setup({ cmd = { '/path/to/flash-lsp', 'serve' } })",
    })
    return
  end
  local said = vim.system({ command[1], '--version' }, { text = true }):wait(10000)
  if said.code == 0 then
    health.ok(('%s (%s)'):format(vim.trim(said.stdout), command[1]))
  else
    health.error(('%s --version failed: %s'):format(command[1], vim.trim(said.stderr or '')), {
      'Try it in a shell: flash-lsp doctor',
    })
  end
end

local function check_clients()
  health.start('Running servers')
  if not vim.lsp.is_enabled(inline.NAME) then
    health.error('not enabled', "Call require('flash_lsp').setup(), or vim.lsp.enable('flash_lsp')")
  end
  local clients = vim.lsp.get_clients({ name = inline.NAME })
  if #clients == 0 then
    health.warn('none', 'Open a file that has a file type; then see :FlashLsp log')
  end
  for _, client in ipairs(clients) do
    if client.server_capabilities.inlineCompletionProvider then
      local buffers = vim.tbl_count(client.attached_buffers)
      health.ok(('%s; columns in %s; %d buffer(s)'):format(status.of(client).state, client.offset_encoding, buffers))
    else
      health.error('the server offers no inline completion', 'Update flash-lsp')
    end
  end
end

local function check_keys()
  health.start('Keys')
  for action, key in vim.spairs(require('flash_lsp.config').options.keys) do
    local mapping = key and vim.fn.maparg(key, 'i', false, true)
    if not key then
      health.info(action .. ': no key')
    elseif vim.startswith(mapping.desc or '', 'flash-lsp') then
      health.ok(('%s: %s'):format(action, key))
    else
      health.warn(('%s: %s is mapped to something else'):format(action, key), {
        'Choose another key in setup({ keys = ... })',
        "Or call require('flash_lsp').accept() in your mapping: it returns false where there is nothing to accept",
      })
    end
  end
end

function M.check()
  check_editor()
  check_program()
  check_clients()
  check_keys()
end

return M
