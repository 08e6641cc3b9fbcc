"""`flash-lsp demo`: watch the server complete while a real file is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.options import Device, JsonFile, Model, Threads


def demo(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="The file to type (default: a small one that comes along).", show_default=False
        ),
    ] = None,
    keys: Annotated[int, typer.Option(min=1, help="Keystrokes to type.")] = 140,
    speed: Annotated[float, typer.Option(min=0.1, max=100.0, help="Times as fast as a person types.")] = 1.0,
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Replay typing of a real file against the real server: ghost text, and the latency of every keystroke."""
    from rich.console import Console

    from flash_lsp import demo as player
    from flash_lsp.cli.figures import figures_table, replay_rows, write_json
    from flash_lsp.cli.location import read_source
    from flash_lsp.examples import example

    path, text = example() if file is None else (file, read_source(file))
    console = Console()
    figures = player.run(
        path,
        text,
        keys=keys,
        speed=speed,
        settings={"model": model, "device": device, "threads": threads},
        console=console,
    )
    typed = f"{figures['accepted']} of {figures['typed']}"
    rows = replay_rows(figures) | {"characters from accepted suggestions": typed}
    console.print(figures_table(f"flash-lsp demo: {figures['file']}", [rows]))
    if json_file:
        write_json(figures, json_file)
