"""Files that the demo types and the replay starts with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def example() -> tuple[Path, str]:
    """The demo's Python file: its path and text."""
    path = Path(str(files(__name__))) / "vector.py"
    return path, path.read_text(encoding="utf-8")
