"""Where flash-lsp keeps what it may make again."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path


def cache_folder() -> Path:
    """What flash-lsp keeps for a machine and may be deleted at any time: $XDG_CACHE_HOME/flash-lsp."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flash-lsp"


def kept(kind: str, device: str, *parts: object) -> Path:
    """The file of `kind` for a device, this version of MLX, these kernels' texts, and `parts`."""
    texts = hashlib.sha256()
    for folder in ("kernels", "nvidia/cu"):
        for file in sorted((files("flash_metal") / folder).iterdir(), key=lambda entry: entry.name):
            if file.is_file():
                texts.update(file.read_bytes())
    key = " ".join(map(str, (device, version("mlx"), texts.hexdigest(), *parts)))
    return cache_folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
