if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('flash-lsp needs Neovim 0.11 or newer', vim.log.levels.ERROR)
  return
end

vim.api.nvim_set_hl(0, 'FlashLspGhost', { default = true, link = 'NonText' })

vim.api.nvim_create_user_command('FlashLsp', function(command)
  require('flash_lsp.commands').run(command.fargs)
end, {
  nargs = '*',
  desc = 'flash-lsp: status, toggle, snooze, language, why, stats, clear, reload, restart, doctor, log',
  complete = function(lead)
    return require('flash_lsp.commands').complete(lead)
  end,
})
