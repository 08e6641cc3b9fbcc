"""What every reason for an empty reply means, in words for people."""

from __future__ import annotations

EXPLANATIONS: dict[str, str] = {
    "superseded": "a newer request or an edit came before the answer",
    "cancelled": "the editor withdrew the request",
    "closed": "the document was closed",
    "loading": "the model is still being loaded",
    "out-of-time": "nothing was ready in time (setting hold_ms)",
    "disabled": "suggestions are off for this language (settings enabled, disabled_languages, enabled_languages, "
    "or the command flash-lsp.toggle)",
    "paused": "suggestions are paused (command flash-lsp.pause)",
    "snoozed": "suggestions are snoozed (command flash-lsp.snooze)",
    "manual-only": "suggestions come only when asked for (setting manual_only)",
    "secret-file": "the file's name says that it holds secrets",
    "git-ignored": "a .gitignore file excludes this file (setting follow_ignore_files)",
    "flash-ignored": "a .flashignore file excludes this file (setting follow_ignore_files)",
    "excluded": "the setting exclude names this file",
    "binary": "the file is not text",
    "too-large": "the file is too large (setting max_file_kb)",
    "minified": "the file is minified: its lines are too long",
    "generated": "the file says that it is generated",
    "mid-line": "there is code right of the cursor (ask for a suggestion to get one all the same)",
    "empty": "the model has nothing to add here",
    "blank": "the model suggests nothing but white space",
    "low-confidence": "the model is not sure enough",
    "wrong-scope": "the suggestion would leave the block that the cursor is in",
    "repeats-suffix": "the suggestion repeats what stands right of or below the cursor",
    "unbalanced": "the suggestion closes a bracket that is not open",
    "repetition": "the suggestion repeats itself",
    "capacity": "the text around the cursor does not fit the model's context",
    "engine-error": "the engine failed: see the server's log",
}


def explain(reason: str) -> str:
    """The meaning of a reason; the reason itself where there is no better word."""
    return EXPLANATIONS.get(reason, reason)
