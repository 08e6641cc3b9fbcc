--- flash-lsp for Neovim: ghost text from a local model. See :help flash-lsp.
local M = {}

---@param options? table see flash_lsp.Options
function M.setup(options)
  local config = require('flash_lsp.config').set(options)
  local inline = require('flash_lsp.inline')
  local protocol = require('flash_lsp.protocol')
  local recovery = require('flash_lsp.recovery')
  local status = require('flash_lsp.status')

  vim.lsp.config(inline.NAME, {
    cmd = config.cmd or require('flash_lsp.server').command(),
    settings = { ['flash-lsp'] = vim.tbl_isempty(config.settings) and vim.empty_dict() or config.settings },
    handlers = { [protocol.READY] = inline.on_ready, [protocol.STATUS] = status.on_status },
    on_exit = function(code, signal, client_id)
      vim.schedule(function()
        status.set(client_id, nil)
      end)
      recovery.on_exit(code, signal)
    end,
  })

  local group = vim.api.nvim_create_augroup('flash_lsp', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == inline.NAME then
        inline.attach(client, event.buf)
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == inline.NAME then
        inline.detach(event.buf)
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspProgress', {
    group = group,
    callback = function(event)
      status.on_progress(event.data.client_id, event.data.params.value)
    end,
  })

  require('flash_lsp.keys').map()
  recovery.start()
end

--- Insert the shown suggestion, or its next word or line; false where nothing is shown. Not for <expr> mappings.
---@param part? 'all'|'word'|'line' default: all
---@return boolean
function M.accept(part)
  return require('flash_lsp.inline').accept(part or 'all')
end

function M.next()
  require('flash_lsp.inline').cycle(1)
end

function M.previous()
  require('flash_lsp.inline').cycle(-1)
end

--- Hide the suggestion until something is typed.
function M.dismiss()
  require('flash_lsp.inline').abort()
end

---@return string? # the text that is shown at the cursor
function M.suggestion()
  return require('flash_lsp.inline').shown()
end

--- For a statusline, such as "flash: ready".
---@return string
function M.statusline()
  return require('flash_lsp.status').text()
end

return M
