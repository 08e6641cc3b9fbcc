"""`flash-lsp bench engine`: speed of the CPU engine beside the machine's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import JsonFile, Model, drawable


def engine(
    model: Model = "flash-coder",
    shape: Annotated[
        str | None,
        typer.Option(
            help="Random weights of a known shape instead of a model: deepseek-1.3b, deepseek-6.7b (4 GB of memory), "
            "qwen3-moe (two layers of Qwen3-Coder-30B-A3B).",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Threads; may be given more than once (default: 1, and one a core)."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; figures are their medians.")] = 7,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--roofline",
            metavar="FILE.png",
            help="Also draw each operation beside the limits (needs matplotlib).",
            callback=drawable,
            show_default=False,
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Tokens a second of the CPU engine, pass by pass, beside the limits of this machine measured in the same run."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from flash_engine import Checkpoint, bundled
    from flash_lsp.bench import engine as bench
    from flash_lsp.bench import plots
    from flash_lsp.bench.random_model import SHAPES, RandomCheckpoint
    from flash_lsp.cli.figures import number, percent, write_json

    if shape is not None and shape not in SHAPES:
        raise InputError(f"no shape {shape!r}: give one of {', '.join(SHAPES)}")
    checkpoint = RandomCheckpoint(shape, SHAPES[shape]) if shape else Checkpoint(bundled.locate(model))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        figures = bench.run(
            checkpoint,
            threads=threads,
            rounds=rounds,
            progress=lambda stage, share: bar.update(task, description=stage, completed=share),
        )
    where = figures["machine"]
    table = Table(
        title=f"{figures['model']} on {where['processor']} ({' '.join(where['cpu_features'])})",
        title_justify="left",
    )
    table.add_column("")
    runs = figures["threads"]
    for run in runs:
        table.add_column(run["backend"], justify="right")
    for kind, name in (("decode", "decode after {} tokens"), ("prefill", "prompt of {} tokens")):
        for size in runs[0][kind]:
            rates = [number(run[kind][size]["tokens_per_s"], "tokens/s") for run in runs]
            table.add_row(name.format(size), *rates)
    for size in runs[0]["passes_ms"]:
        table.add_row(f"pass of {size}", *(number(run["passes_ms"][size]["median"], "ms") for run in runs))
    table.add_row("read bandwidth", *(number(run["limits"]["read_gb_per_s"], "GB/s") for run in runs))
    table.add_row("int8 products", *(number(run["limits"]["int8_gmac_per_s"], "GMAC/s") for run in runs))
    table.add_row("share of the limit in decode", *(percent(run["limit_share"]) for run in runs))
    table.add_row("share of the bandwidth in decode", *(percent(run["bandwidth_share"]) for run in runs))
    table.add_row("pass of 8 / of 1", *(f"{run['v8']:.2f}" for run in runs))
    table.add_row("the same at the limits", *(f"{run['v8_limit']:.2f}" for run in runs))
    Console().print(table)
    if picture:
        plots.roofline(figures, picture)
    if json_file:
        write_json(figures, json_file)
