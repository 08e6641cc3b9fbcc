"""`flash-lsp bench speculation`: speculative decoding against plain decoding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonFile, Model, Threads


def speculation(
    model: Model = "flash-coder",
    draft: Annotated[
        str,
        typer.Option(help="auto (the bundled model's own), none, or a folder or file that holds a model."),
    ] = "auto",
    sources: Annotated[
        Path | None,
        typer.Option(help="Folder of source files (default: Python's library).", show_default=False),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Cases of each workload.")] = 24,
    workload: Annotated[
        list[str] | None,
        typer.Option(
            help="infill, edit, fresh, prose or random; may be given more than once (default: all).",
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Speed-up of speculative over plain decoding: infilling, repeating edits, fresh code, docstrings, random text."""
    from rich.console import Console
    from rich.progress import Progress

    from flash_engine import Engine
    from flash_lsp.bench import speculation as bench
    from flash_lsp.bench.quality import standard_library
    from flash_lsp.cli.figures import figures_table, write_json

    folder = sources or standard_library()
    if not folder.is_dir():
        raise InputError(f"--sources {folder}: no such folder")
    workloads = workload or list(bench.WORKLOADS)
    if unknown := set(workloads) - set(bench.WORKLOADS):
        raise InputError(f"--workload {unknown.pop()}: give one of {', '.join(bench.WORKLOADS)}")
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        with Engine.load(
            model, draft=None if draft == "none" else draft, device=device, threads=threads
        ) as engine:
            figures = bench.run(
                engine,
                folder,
                draft=draft,
                count=cases,
                workloads=workloads,
                progress=lambda stage, share: bar.update(task, description=stage, completed=share),
            )
    where = figures["machine"]
    columns = [{"": name} | _column(each) for name, each in figures["workloads"].items()]
    title = f"{figures['model']} with draft {figures['draft']} on {figures['backend']}, {where['processor']}"
    table = figures_table(title, columns)
    console = Console()
    console.print(table)
    controller = figures["controller"]
    console.print(
        "pass of 1 to 8 tokens, ms:",
        *controller["pass_ms"],
        " first and further token of a draft:",
        controller["draft_first_ms"],
        controller["draft_ms"],
    )
    console.print("rounds by choice:", controller["choices"])
    for source, shares in figures["acceptance_by_position"].items():
        console.print(
            f"accepted by position, {source}:", *("-" if share is None else share for share in shares)
        )
    if json_file:
        write_json(figures, json_file)


def _column(figures: Mapping[str, Any]) -> dict[str, str]:
    """One workload's column of the table."""
    accepted = [
        f"{figures['accepted'][source]} of {figures['drafted'][source]}" for source in ("model", "text")
    ]
    return {
        "speed-up": f"{figures['speedup']:.3f}",
        "median case": f"{figures['speedup_median_case']:.2f}",
        "plain/plain, the control": f"{figures['plain_against_plain']:.3f}",
        "plain, tokens/s": f"{figures['plain_tokens_per_s']:.0f}",
        "speculative, tokens/s": f"{figures['tokens_per_s']:.0f}",
        "tokens a pass": f"{figures['tokens_per_pass']:.2f}",
        "accepted of the draft model": accepted[0],
        "accepted of texts": accepted[1],
        "equal cases": f"{figures['equal']} of {figures['cases']}",
    }
