"""`flash-lsp stats`: what the language server has counted on this machine."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flash_lsp.cli.errors import InputError
from flash_lsp.cli.options import JsonOutput

if TYPE_CHECKING:
    from rich.table import Table

_BARS = " ▁▂▃▄▅▆▇█"
_SPARK_DAYS = 30


def stats(
    days: Annotated[int, typer.Option(min=1, help="Days in the table, the latest ones.")] = 14,
    delete: Annotated[bool, typer.Option("--delete", help="Delete all statistics.")] = False,
    as_json: JsonOutput = False,
) -> None:
    """Show the local statistics: suggestions shown, accepted and kept, latencies, reasons for silence, speculation."""
    from flash_lsp import statistics

    path = statistics.default_path()
    try:
        if delete:
            gone = statistics.delete(path)
            typer.echo(f"deleted {path}" if gone else f"there are no statistics at {path}")
            return
        counts = statistics.read(path)
        speculation = statistics.read_speculation(path)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path}: {error}: delete it with `flash-lsp stats --delete`") from None
    figures = {
        "path": str(path),
        "days": _group(counts, lambda key: key[0]),
        "languages": _group(counts, lambda key: key[1]),
        "silences": _silences(counts),
        "speculation": speculation,
    }
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    elif counts:
        _show(figures, days)
    else:
        typer.echo(f"no statistics yet: the language server keeps them at {path} (setting `statistics`)")


def _group(
    counts: Counter[tuple[str, str, str]], by: Callable[[tuple[str, str, str]], str]
) -> dict[str, Any]:
    """The figures of each day or language, in order."""
    from flash_lsp import statistics as s

    groups: dict[str, Counter[str]] = {}
    for key, amount in counts.items():
        groups.setdefault(by(key), Counter())[key[2]] += amount
    return {
        name: {
            "requests": each[s.REQUESTS],
            "shown": each[s.SHOWN],
            "accepted": each[s.ACCEPTED],
            "partially_accepted": each[s.PARTIAL],
            "kept_after_30_s": each[s.KEPT],
            "judged_after_30_s": each[s.JUDGED],
            "p50_ms": s.percentile(each.items(), 0.5),
            "p95_ms": s.percentile(each.items(), 0.95),
        }
        for name, each in sorted(groups.items())
    }


def _silences(counts: Counter[tuple[str, str, str]]) -> dict[str, int]:
    from flash_lsp.statistics import SILENCE

    total: Counter[str] = Counter()
    for (_, _, name), amount in counts.items():
        if name.startswith(SILENCE):
            total[name[len(SILENCE) :]] += amount
    return dict(total.most_common())


def _show(figures: dict[str, Any], days: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from flash_lsp.cli.figures import milliseconds, percent
    from flash_lsp.silences import explain

    console = Console()
    names = ("requests", "shown", "accepted", "in part", "kept after 30 s", "p50", "p95")
    for title, rows in (
        ("day", list(figures["days"].items())[-days:]),
        ("language", figures["languages"].items()),
    ):
        table = Table(title=f"by {title}", title_justify="left")
        for name in (title, *names):
            table.add_column(name, justify="left" if name == title else "right")
        for name, row in rows:
            taken = row["accepted"] + row["partially_accepted"]
            share = f" ({percent(taken / row['shown'])})" if row["shown"] else ""
            judged = row["judged_after_30_s"]
            table.add_row(
                name, str(row["requests"]), str(row["shown"]), f"{row['accepted']}{share}",
                str(row["partially_accepted"]), percent(row["kept_after_30_s"] / judged if judged else None),
                milliseconds(row["p50_ms"]), milliseconds(row["p95_ms"]),
            )  # fmt: skip
        console.print(table)
    silences = Table(title="reasons for silence", title_justify="left", show_header=False)
    for name, amount in figures["silences"].items():
        silences.add_row(name, str(amount), explain(name))
    if figures["silences"]:
        console.print(silences)
    for model, known in figures["speculation"].items():
        console.print(_speculation_table(model, known))
    accepted = [row["accepted"] for row in figures["days"].values()][-_SPARK_DAYS:]
    console.print(f"accepted by day: {sparkline(accepted)}  (file: {Path(figures['path'])})", soft_wrap=True)


def _speculation_table(model: str, known: dict[str, Any]) -> Table:
    """What the controller last knew of a model: costs, acceptance, and what it chose and why."""
    from flash_lsp.cli.figures import figures_table, percent

    rounds = sum(known["choices"].values())
    rows = {
        "pass of 1, 2, ... tokens, ms": " ".join(f"{each:.1f}" for each in known["pass_ms"]),
        "a token of the draft model, ms": f"{known['draft_ms']:.2f}",
        **{
            f"it reads along, right after {length}": percent(share)
            for length, share in known.get("looked_up", {}).items()
        },
        "it gains, tokens a round": f"{known['model_gain']:.2f}{' (paused)' if known['paused'] else ''}",
        **{
            f"accepted at position 1, 2, ...: {source}": " ".join(map(percent, shares))
            for source, shares in known["acceptance"].items()
        },
        **{f"rounds: {choice}": percent(count / rounds) for choice, count in known["choices"].items()},
    }
    title = f"speculation: {model}, {known['day']}"
    return figures_table(title, [rows])


def sparkline(values: list[int]) -> str:
    """One bar for each value, the highest full."""
    top = max([*values, 1])
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // top)] for value in values)
