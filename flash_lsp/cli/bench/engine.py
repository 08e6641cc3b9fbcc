"""`flash-lsp bench engine`: tokens a second."""

from __future__ import annotations

from flash_lsp.cli.options import JsonFile, Model


def engine(model: Model = "flash-coder", json_file: JsonFile = None) -> None:
    """Measure prefill and decode of the native engine by number of threads."""
