"""`flash-lsp bench quality`: how often the rest of a line is the file's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonFile, Model, Threads


def quality(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Sources to cut cases from (default: flash-lsp's own).", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Cases.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed cuts other cases.")] = 0,
    cross_file: Annotated[
        bool,
        typer.Option(
            "--cross-file",
            help="Cases that need another file instead, with and without context from it.",
        ),
    ] = False,
    model: Model = "flash-coder",
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Cut cases from real sources and count the exact rests of the line, by form of the prompt."""
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give a folder of sources")

    from rich.console import Console
    from rich.table import Table

    from flash_engine import Engine
    from flash_lsp.bench import crossfile
    from flash_lsp.bench import quality as bench
    from flash_lsp.cli.figures import percent, write_json
    from flash_lsp.context.lineage import CONTEXT_TOKENS

    sources = folder or bench.own_sources()
    with Engine.load(model, device=device, threads=threads) as engine:
        if cross_file:
            figures = crossfile.run(engine, sources, count=count, seed=seed, budget=CONTEXT_TOKENS)
        else:
            figures = bench.run(engine, sources, count=count, seed=seed)
    if not figures["cases"]:
        raise InputError(f"{sources} holds no source file that cases could be cut from")
    table = Table(title=f"{figures['cases']} cases from {sources}", title_justify="left")
    names = (
        ("context", "tokens", "first word", "exact")
        if cross_file
        else ("form of the prompt", "word healing", "exact")
    )
    for name in (*names, "share"):
        table.add_column(name, justify="left" if name == names[0] else "right")
    for row in figures["rows"] if cross_file else [*figures["forms"], *figures["mid_line"]]:
        cases = row["cases"]
        exact = (f"{row['exact']} of {cases}", percent(row["exact"] / cases if cases else None))
        if cross_file:
            table.add_row(
                row["context"], f"{row['tokens'] / cases:.0f}", f"{row['first_word']} of {cases}", *exact
            )
        else:
            table.add_row(row["form"], "yes" if row["healed"] else "no", *exact)
    Console().print(table)
    if json_file:
        write_json(figures, json_file)
