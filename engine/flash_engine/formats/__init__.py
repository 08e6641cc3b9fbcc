"""File formats of models: each is a Source of tensors."""

from __future__ import annotations

from pathlib import Path

from flash_engine.errors import ModelError
from flash_engine.formats.gguf import GgufSource
from flash_engine.formats.hugging_face import HuggingFaceFolder
from flash_engine.formats.source import Source


def open_source(path: Path) -> Source:
    """The model in a GGUF file, or in a folder that holds one or else config.json and safetensors."""
    gguf = gguf_file(path)
    return HuggingFaceFolder(path) if gguf is None else GgufSource(gguf)


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that `path` is, or is the folder of; None if there is none. Raises ModelError for several."""
    if path.is_file():
        return path
    if (path / "config.json").exists():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        raise ModelError(
            f"{path} holds {len(files)} GGUF files: give one of them, {files[0].name} for example"
        )
    return files[0] if files else None


__all__ = ["Source", "gguf_file", "open_source"]
