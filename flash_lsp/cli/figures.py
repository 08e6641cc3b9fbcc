"""Figures for people: numbers with their units, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from flash_lsp.cli.errors import InputError


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.4g} {unit}".rstrip()


def figures_table(title: str, columns: Sequence[Mapping[str, str]]) -> Table:
    """What was measured, by the names of the first of `columns`, and the figures of each."""
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, caption_justify="left"
    )
    table.add_column(style="dim")
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def replay_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    """The rows of a replay's figures: latencies with the shares that belong beside them."""
    return {
        "keystrokes": f"{figures['keys']}",
        "requests judged": f"{figures['judged']} of {figures['requests']}",
        "superseded within the deadline / later": f"{figures['superseded_early']} / {figures['superseded_late']}",
        "typed through what was shown": percent(figures["type_through_share"]),
        "latency p50 / p95 / p99": " / ".join(milliseconds(figures[f"p{n}_ms"]) for n in (50, 95, 99)),
        "first line on time, complete / or cut to what is likely": " / ".join(
            percent(figures[name]) for name in ("on_time_share", "final_on_time_share")
        ),
        "first line complete on time, silences left out": percent(figures["on_time_suggested_share"]),
        "held beyond the deadline": percent(figures["held_share"]),
        "empty": percent(figures["empty_share"]),
        "from cache": percent(figures["cached_share"]),
        "right as far as shown, of the shown": percent(figures["right_shown"]),
        "right as far as shown, of all": percent(figures["right_all"]),
        "first line right, of the shown": percent(figures["exact_shown"]),
        "first line right, of all": percent(figures["exact_all"]),
    }


def write_json(figures: Mapping[str, Any], path: Path) -> None:
    """Write `figures` to `path`. Raises InputError if it cannot be written."""
    try:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
