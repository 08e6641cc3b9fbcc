--- Plain configuration for `vim.lsp.enable('flash_lsp')`: usable without the plugin, by itself.
---@type vim.lsp.Config
return {
  cmd = { 'flash-lsp', 'serve' },
  root_markers = { '.git' },
  -- The server begins to decode when it sees the text change, before it is asked.
  flags = { debounce_text_changes = 0 },
  -- Neovim 0.11 says nothing about inline completion by itself.
  capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
}
