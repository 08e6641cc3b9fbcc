"""File formats of models: each is a Source of tensors."""

from __future__ import annotations

from pathlib import Path

from flash_engine.errors import ModelError
from flash_engine.formats.adapter import AdaptedSource, base_folder
from flash_engine.formats.at_load import QuantizingSource
from flash_engine.formats.gguf import GgufSource
from flash_engine.formats.hugging_face import HuggingFaceFolder
from flash_engine.formats.source import Source
from flash_engine.matrices import Quantization


def open_source(path: Path, quantize: Quantization | None = None) -> Source:
    """The model in a GGUF file, or in a folder that holds one, or config.json and safetensors, or a LoRA adapter.

    quantize: what 16- and 32-bit matrices become as they are read; None: they stay.
    """
    source = _open(path)
    return source if quantize is None else QuantizingSource(source, quantize)


def _open(path: Path) -> Source:
    base = base_folder(path)
    if base is not None:
        return AdaptedSource(_open(base), path)
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


__all__ = ["Source", "base_folder", "gguf_file", "open_source"]
