"""Options that several commands share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer


def drawable(picture: Path | None) -> Path | None:
    """Callback of options that name a picture: refused before the long work, not after it."""
    if picture and find_spec("matplotlib") is None:
        raise typer.BadParameter('pictures need matplotlib: pip install "flash-lsp[bench]"')
    return picture


Model = Annotated[str, typer.Option(help="A bundled model's name, the name of one of yours, or a folder.")]
Device = Annotated[str, typer.Option(help="auto, native (CPU), mlx or reference.")]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Threads of the CPU engine (default: what fits the machine).", show_default=False
    ),
]
Quantize = Annotated[
    str,
    typer.Option(help="Bits of 16-bit weights once loaded: auto (what fits the memory), off, 8 or 4."),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Also write the figures to FILE as JSON.", show_default=False
    ),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
