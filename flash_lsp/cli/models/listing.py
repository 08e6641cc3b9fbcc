"""`flash-lsp models list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from flash_lsp.cli.options import JsonOutput


def list_models(as_json: JsonOutput = False) -> None:
    """Bundled models, your own, and some worth pulling, with what they take and how fast they could be here.

    The memory is the plan's, for 4 bit and the context it finds room for. The speed is an estimate: the memory
    bandwidth measured here by the bytes of weights that each token reads, which no engine exceeds.
    """
    rows = [*_present(), *_worth_pulling()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("", no_wrap=True)
    for heading in ("disk", "memory", "tokens/s"):
        table.add_column(heading, no_wrap=True, justify="right")
    for heading in ("licence", "note"):
        table.add_column(heading)
    for row in rows:
        speed = row["tokens_per_s"]
        table.add_row(
            row["name"],
            row["kind"],
            f"{row['disk_bytes'] / 1e9:.2f} GB",
            f"{row['memory_bytes'] / 1e9:.2f} GB" if row["fits"] else "too large",
            f"<{speed:.0f}" if speed else "",
            row["license"],
            row["note"],
        )
    Console().print(table)


def _present() -> list[dict[str, Any]]:
    from flash_engine import bundled, library

    rows = [_row_of(bundled.root() / name, "bundled", "Apache-2.0") for name in bundled.names()]
    return rows + [_row_of(library.root() / name, "yours", "") for name in library.names()]


def _row_of(folder: Path, kind: str, license: str) -> dict[str, Any]:
    from flash_engine import Checkpoint, FlashError, library, memory, provenance
    from flash_engine.backends import resolve

    row: dict[str, Any] = {"name": folder.name, "kind": kind, "license": license, "note": ""}
    row |= {"disk_bytes": library.size(folder), "fits": False, "memory_bytes": 0, "tokens_per_s": None}
    try:
        found = provenance.read(folder)
        if found:
            row |= {"license": found.license, "note": found.source}
        return row | _needs(memory.measure(Checkpoint(folder), resolve("auto")))
    except FlashError as error:
        return row | {"note": str(error)}


def _worth_pulling() -> list[dict[str, Any]]:
    from flash_engine import library
    from flash_lsp.models.recommended import RECOMMENDED

    return [
        {
            "name": each.repository,
            "kind": "pull",
            "license": each.license,
            "note": each.note,
            "disk_bytes": each.download,
            **_needs(each.footprint),
        }
        for each in RECOMMENDED
        if each.repository.partition("/")[2] not in library.names()
    ]


def _needs(footprint: Any) -> dict[str, Any]:
    from flash_engine import CapacityError, memory
    from flash_engine.backends import resolve
    from flash_engine.devices import working_set

    device = resolve("auto")
    try:
        plan = memory.plan(footprint, working_set=working_set(device))
    except CapacityError:
        return {"fits": False, "memory_bytes": 0, "tokens_per_s": None}
    bandwidth = _bandwidth() if device == "native" else None
    speed = bandwidth / footprint.token_weights if bandwidth else None
    return {"fits": True, "memory_bytes": plan.total, "context": plan.context, "tokens_per_s": speed}


_measured: list[float] = []


def _bandwidth() -> float:
    """Bytes a second that this machine's cores read from memory."""
    if not _measured:
        from flash_engine import _native
        from flash_engine.backends.native import default_threads

        _measured.append(max(_native.read_bandwidth(256 << 20, default_threads()) for _ in range(3)))
    return _measured[0]
