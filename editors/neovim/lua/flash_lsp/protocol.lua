--- Names on the wire.
return {
  INLINE_COMPLETION = 'textDocument/inlineCompletion',
  --- Trigger kinds: the user asked, so several suggestions are wanted; or the text changed.
  INVOKED = 1,
  AUTOMATIC = 2,
  --- flash-lsp's own, docs/protocol.md.
  READY = 'flash-lsp/ready',
  STATUS = 'flash-lsp/status',
  STATS = 'flash-lsp.stats',
}
