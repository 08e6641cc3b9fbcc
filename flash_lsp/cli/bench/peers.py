"""`flash-lsp bench peers`: our engine and llama.cpp side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import JsonFile


def peers(
    cpu: Annotated[bool, typer.Option("--cpu", help="Against llama.cpp on the CPU.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of either engine.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, one after the other for every engine.")] = 5,
    gguf: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A GGUF file that both load, instead of the bundled model.",
            show_default=False,
        ),
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option(
            help="Hold both to an instruction set: avx2 (its own build of the peer).", show_default=False
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Where the peer is built and kept (default: flash-lsp-peers in the temporary folder)."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Time prompts, single tokens and short passes of one model in both engines, interleaved.

    The first call builds llama-cpp-python from source, which pip downloads: the network is used for that alone.
    """
    if not cpu:
        raise InputError("say against what to measure: --cpu is the one there is")

    if gguf is not None and not gguf.is_file():
        raise InputError(f"{gguf}: no such file")

    from rich.console import Console
    from rich.table import Table

    from flash_engine import _native, bundled
    from flash_lsp.bench import peers as bench
    from flash_lsp.cli.figures import milliseconds, number, percent, write_json

    if isa is not None and (isa not in bench.BUILDS or isa not in _native.supported_isas()):
        raise InputError(f"isa {isa}: avx2 is the one there is, where the machine has it")
    console = Console(stderr=True)
    figures = bench.run(
        gguf or bundled.locate(bundled.MAIN),
        cache or Path(tempfile.gettempdir()) / "flash-lsp-peers",
        isa=isa or "",
        threads=threads,
        rounds=rounds,
        say=console.print,
    )
    table = Table(
        title=f"{figures['model']}, {figures['backend']}, {figures['machine']}", title_justify="left"
    )
    for name in ("", "flash-lsp", "llama.cpp", "its best variant", "ratio", "spread"):
        table.add_column(name, justify="left" if name in ("", "its best variant") else "right")
    for key, ours in figures["ours_ms"].items():
        low, high = figures[f"spread_{key}"]
        table.add_row(
            key,
            milliseconds(ours),
            milliseconds(figures["peer_ms"][key]),
            figures["peer_variant"][key],
            f"{figures[f'ratio_{key}']:.2f}",
            f"{low:.2f} to {high:.2f}",
        )
    out = Console()
    out.print(table)
    limits = figures["limits"]
    out.print(
        f"decode on an empty cache at {percent(figures['limit_share'])} of the limit: "
        f"{number(limits['read_gb_per_s'], 'GB/s')}, {number(limits['int8_gmac_per_s'], 'GMAC/s')}"
    )
    out.print(
        f"a pass of 8 at 1,024 takes {figures['v8']:.2f} passes of 1; at the limits {figures['v8_limit']:.2f}: "
        f"{milliseconds(limits['pass8_ms'])} and {milliseconds(limits['pass1_ms'])}"
    )
    if json_file:
        write_json(figures, json_file)
