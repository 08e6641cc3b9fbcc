--- Neovim 0.12's own client, `vim.lsp.inline_completion`, which asks and draws. It leaves three things to do: it does
--- not cancel a request when the text moves on, takes late replies for the present text, and keeps showing a
--- suggestion that the typing contradicts. So requests pass through `guard`, and what is shown is pushed anew, through
--- the handler that came with the last request, whenever the text or the cursor changes.
local protocol = require('flash_lsp.protocol')
local suggestion = require('flash_lsp.suggestion')

local M = {}

---@type { client: vim.lsp.Client, bufnr: integer, handler: lsp.Handler, id: integer? }?
local last

local function cancel()
  if last and last.id then
    last.client:cancel_request(last.id)
    last.id = nil
  end
end

---@type table<integer, true> by client id
local guarded = {}

---@param client vim.lsp.Client
local function guard(client)
  if guarded[client.id] then
    return
  end
  guarded[client.id] = true
  local request = client.request
  client.request = function(self, method, params, handler, bufnr)
    if method ~= protocol.INLINE_COMPLETION then
      return request(self, method, params, handler, bufnr)
    end
    cancel()
    bufnr = vim._resolve_bufnr and vim._resolve_bufnr(bufnr) or bufnr or vim.api.nvim_get_current_buf()
    local tick = vim.api.nvim_buf_get_changedtick(bufnr)
    local asked = { client = client, bufnr = bufnr, handler = handler }
    last = asked
    local sent, id = request(self, method, params, function(err, result)
      asked.id = nil
      if last == asked and not err and tick == vim.api.nvim_buf_get_changedtick(bufnr) then
        suggestion.take(client, bufnr, result)
        M.draw(bufnr)
      end
    end, bufnr)
    asked.id = id
    return sent, id
  end
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param kind? integer the trigger kind; automatic if nil
function M.ask(client, bufnr, kind)
  if last and last.bufnr == bufnr then
    local params = vim.lsp.util.make_position_params(vim.fn.bufwinid(bufnr), client.offset_encoding)
    params.context = { triggerKind = kind or protocol.AUTOMATIC }
    client:request(protocol.INLINE_COMPLETION, params, last.handler, bufnr)
  end
end

--- Draw what remains of the suggestion.
---@param bufnr integer
function M.draw(bufnr)
  if last and last.bufnr == bufnr then
    local text = suggestion.remaining(bufnr)
    -- Without a range the editor draws and inserts at the cursor.
    last.handler(nil, { items = text and { { insertText = text } } or {} }, {
      client_id = last.client.id,
      bufnr = bufnr,
      method = protocol.INLINE_COMPLETION,
    })
  end
end

--- Stop asking, and forget what is shown.
---@param bufnr integer
function M.abort(bufnr)
  cancel()
  suggestion.clear()
  M.draw(bufnr)
end

--- Have the editor ask and draw in this buffer as it is typed in.
---@param client vim.lsp.Client
---@param bufnr integer
---@param group integer of the autocommands
function M.attach(client, bufnr, group)
  guard(client)
  vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      M.draw(bufnr)
    end,
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      M.abort(bufnr)
    end,
  })
end

---@param bufnr integer
function M.detach(bufnr)
  vim.lsp.inline_completion.enable(false, { bufnr = bufnr })
end

return M
