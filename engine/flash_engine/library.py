"""The user's own models: folders in one place, found by their names."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from flash_engine import provenance

VARIABLE = "FLASH_LSP_MODELS"
"""Environment variable that names another place."""

PARTIAL = ".partial"
"""Folder of what is not complete yet."""


def root() -> Path:
    """The folder that holds the user's models; it may not exist yet."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_data_path("flash-lsp") / "models"


def names() -> list[str]:
    """Names of the user's models: of folders that hold a config.json or a GGUF file."""
    if not root().is_dir():
        return []
    return sorted(folder.name for folder in root().iterdir() if _is_model(folder))


def find(name: str) -> Path | None:
    """The folder of the user's model `name`, its files verified; None if there is none.

    Raises ModelError that names a file that is missing or altered.
    """
    if name not in names():
        return None
    provenance.verify(root() / name)
    return root() / name


def size(folder: Path) -> int:
    """Bytes of the files of the model, which may be one file."""
    files = [folder] if folder.is_file() else folder.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _is_model(folder: Path) -> bool:
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    return (folder / "config.json").is_file() or any(folder.glob("*.gguf"))
