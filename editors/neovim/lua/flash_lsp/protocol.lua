--- Names on the wire.
return {
  INLINE_COMPLETION = 'textDocument/inlineCompletion',
  --- Trigger kinds: the user asked, so several suggestions are wanted; or the text changed.
  INVOKED = 1,
  AUTOMATIC = 2,
  --- flash-lsp's own, docs/protocol.md.
  READY = 'flash-lsp/ready',
  STATUS = 'flash-lsp/status',
  --- Commands that the server may offer.
  STATS = 'flash-lsp.stats',
  TOGGLE = 'flash-lsp.toggle',
  SNOOZE = 'flash-lsp.snooze',
  EXPLAIN = 'flash-lsp.explainLastSilence',
  RELOAD = 'flash-lsp.reload',
  CLEAR_CACHES = 'flash-lsp.clearCaches',
}
