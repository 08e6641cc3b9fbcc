--- Plain configuration for `vim.lsp.enable('flash_lsp')`: usable without the plugin, by itself. One server serves all
--- folders, so that the model is in memory once.

---@param bufnr integer
---@param on_dir fun(root?: string)
local function root_dir(bufnr, on_dir)
  if vim.bo[bufnr].filetype == '' then
    return
  end
  local root = vim.fs.root(bufnr, '.git')
  local client = vim.lsp.get_clients({ name = 'flash_lsp' })[1]
  local known = vim.iter(client and client.workspace_folders or {}):any(function(folder)
    return folder.name == root
  end)
  if client and root and not known then
    local folder = { uri = vim.uri_from_fname(root), name = root }
    client:notify('workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
    client.workspace_folders = vim.list_extend(client.workspace_folders or {}, { folder })
  end
  on_dir(root)
end

---@type vim.lsp.Config
return {
  cmd = { 'flash-lsp', 'serve' },
  root_dir = root_dir,
  reuse_client = function(client, config)
    return client.name == config.name and not client:is_stopped()
  end,
  -- The server begins to decode when it sees the text change, before it is asked.
  flags = { debounce_text_changes = 0 },
  -- Neovim 0.11 says nothing about inline completion by itself.
  capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
}
