"""Lines of code that hold credentials: they do not enter the context that other files give."""

from __future__ import annotations

import re

_CREDENTIAL = re.compile(
    r"""
      -----(?:BEGIN|END)\ [A-Z ]*PRIVATE\ KEY
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                      # AWS
    | \bAIza[0-9A-Za-z_-]{35}                            # Google
    | \bgh[pousr]_[0-9A-Za-z]{36}                        # GitHub
    | \bgithub_pat_[0-9A-Za-z_]{40}
    | \bglpat-[0-9A-Za-z_-]{20}                          # GitLab
    | \bxox[abeprs]-[0-9A-Za-z-]{10}                     # Slack
    | \b[rs]k_(?:live|test)_[0-9A-Za-z]{16}              # Stripe
    | \bsk-[0-9A-Za-z_-]{32}                             # OpenAI, Anthropic
    | \bhf_[0-9A-Za-z]{30}                               # Hugging Face
    | \beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10}      # JSON web token
    | ://[^\s/:@'"]+:[^\s/:@'"]+@                        # password in an address
    | (?:password|passwd|secret|token|api_?key|access_?key|private_?key)\w*["']?\s*[:=]+\s*["'][^"'\s]{8,}["']
    """,
    re.IGNORECASE | re.VERBOSE,
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def without_credentials(text: str) -> str:
    """`text` without its lines that look like they hold a password, key or token. Rather one line too many."""
    if not _CREDENTIAL.search(text):
        return text
    text = _KEY_BLOCK.sub("", text)
    return "".join(line for line in text.splitlines(keepends=True) if not _CREDENTIAL.search(line))
