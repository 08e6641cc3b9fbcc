"""The models inside the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flash_engine import library, manifest, provenance
from flash_engine.errors import ModelError

MAIN = "flash-coder"
DRAFT = "flash-coder-draft"


def root() -> Path:
    """The folder that holds the bundled models and their manifest."""
    return Path(str(files("flash_engine.models")))


def names() -> list[str]:
    """Names of the bundled models."""
    return sorted(config.parent.name for config in root().glob("*/config.json"))


def locate(model: str | Path) -> Path:
    """The folder or GGUF file of `model`: a bundled name, the name of one of the user's models (library.py), or a path.
    The files of bundled, pulled and converted models are verified.

    Raises ModelError that lists the names if there is no such model.
    """
    own = None if str(model) in names() else library.find(str(model))
    folder = own or (root() / model if str(model) in names() else Path(model).expanduser())
    if not folder.is_dir() and not (folder.is_file() and folder.suffix == ".gguf"):
        raise ModelError(
            f"no model {str(model)!r}: give a folder, a .gguf file, or one of the bundled {', '.join(names())}"
            + (f", or of your own {', '.join(library.names())}" if library.names() else "")
        )
    if own is None and folder.is_dir():
        provenance.verify(folder)
    if folder.resolve().parent == root().resolve():
        manifest.verify(folder)
    return folder


def draft_for(folder: Path) -> str | None:
    """The bundled model that drafts for the model in `folder`, if there is one."""
    is_main = folder.resolve() == (root() / MAIN).resolve()
    return DRAFT if is_main and DRAFT in names() else None


def tokenizer_folder(folder: Path) -> Path:
    """Where the tokenizer of the model in `folder` lies: the bundled draft uses the main model's."""
    if folder.parent != root() or (folder / "tokenizer.json").exists():
        return folder
    return locate(MAIN)
