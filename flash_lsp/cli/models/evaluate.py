"""`flash-lsp models eval`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import Device, JsonOutput, Threads

if TYPE_CHECKING:
    from flash_lsp.models.evaluation import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    folder: Annotated[Path, typer.Argument(help="A folder of your own code; nothing of it is kept.")],
    against: Annotated[
        str | None,
        typer.Option(help="Another model, such as the 16-bit one this was made from.", show_default=False),
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens predicted for the perplexity, about.")] = 8192,
    cases: Annotated[int, typer.Option(min=1, help="Lines to complete.")] = 100,
    seed: Annotated[int, typer.Option(help="Which lines.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: JsonOutput = False,
) -> None:
    """How well a model predicts and completes your own code: perplexity and exact rest-of-line match.

    With --against, both models on the same texts and cases. Perplexities compare only between models with the same
    tokenizer.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    from flash_engine import Engine
    from flash_lsp.cli.models.progress import bar
    from flash_lsp.models import evaluation

    found = []
    for name in [model] if against is None else [model, against]:
        with (
            bar(f"{name}:") as progress,
            Engine.load(name, draft=None, device=device, threads=threads) as engine,
        ):
            found.append(
                evaluation.evaluate(engine, folder, tokens=tokens, cases=cases, seed=seed, progress=progress)
            )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _show(found)


def _show(found: list[Evaluation]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("model", "weights", "perplexity", "exact rest of line", "on"):
        table.add_column(heading)
    for each in found:
        table.add_row(
            each.model,
            f"{each.weight_bytes / 1e6:.0f} MB",
            f"{each.perplexity:.3f}",
            f"{each.exact} of {each.cases}",
            each.backend,
        )
    console = Console()
    console.print(table)
    if len(found) == 2:
        ratio = found[0].perplexity / found[1].perplexity - 1
        console.print(f"perplexity {ratio:+.2%} against {found[1].model}, {found[0].tokens} tokens")
