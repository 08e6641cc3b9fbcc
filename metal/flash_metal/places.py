"""Where flash-lsp keeps what it may make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """What flash-lsp keeps for a machine and may be deleted at any time: $XDG_CACHE_HOME/flash-lsp."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flash-lsp"
