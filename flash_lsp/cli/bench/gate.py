"""`flash-lsp bench gate`: what the confidence gate lets through, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonFile, Model, Threads, drawable


def gate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of Python sources to type (default: flash-lsp's own).", show_default=False
        ),
    ] = None,
    files: Annotated[int, typer.Option(min=1, help="Files of each folder, of 200 to 1,000 lines.")] = 8,
    keys: Annotated[
        int, typer.Option(min=1, help="Keystrokes at least in each folder, over its files.")
    ] = 2400,
    seed: Annotated[int, typer.Option(help="Another seed types other passages of other files.")] = 0,
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
    png: Annotated[
        Path | None,
        typer.Option(
            help="Draw precision against the share of whole lines.", callback=drawable, show_default=False
        ),
    ] = None,
) -> None:
    """Type real files, ask the model at every key, and count what would be on the screen at each gate.

    The gate is the least probability that the model has to give a line for it to be shown whole. There is no clock: how
    soon an answer comes is what `bench replay` measures. Takes some minutes.
    """
    for folder in folders or ():
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder: give a folder of sources")

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from flash_engine import Engine
    from flash_lsp.bench import gate as bench
    from flash_lsp.bench.quality import own_sources
    from flash_lsp.cli.figures import number, percent, write_json

    groups = {
        folder.name: bench.choose(folder, count=files, seed=seed) for folder in folders or [own_sources()]
    }
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("typing", total=keys * len(groups))
        with Engine.load(model, device=device, threads=threads) as engine:
            figures = bench.run(
                engine, groups, keys=keys, seed=seed, progress=lambda typed: progress.advance(task, typed)
            )
    for group in figures["groups"]:
        table = Table(title=f"{group['keys']} keys in {len(group['files'])} files of {group['name']}")
        table.add_column("gate", justify="right")
        for column in (
            "shown",
            "whole lines",
            "right as far as shown",
            "whole line right, of the shown",
            "of all",
            "characters right",
            "wrong",
            "tokens a key",
        ):
            table.add_column(column, justify="right")
        for row in group["gates"]:
            table.add_row(
                f"{row['least']:g}",
                percent(1 - row["empty_share"]),
                *(
                    percent(row[name])
                    for name in ("on_time_share", "right_shown", "exact_shown", "exact_all")
                ),
                *(
                    number(row[name])
                    for name in ("right_characters", "wrong_characters", "generated_per_key")
                ),
            )
        Console().print(table)
    if json_file:
        write_json(figures, json_file)
    if png:
        from flash_lsp.bench import plots

        plots.gate(figures, png)
