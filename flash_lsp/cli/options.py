"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
