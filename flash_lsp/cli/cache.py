"""`flash-lsp cache`: what the KV store holds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from flash_lsp.cli.options import JsonOutput

if TYPE_CHECKING:
    from flash_engine.kvstore import Entry, KVStore

app = typer.Typer(help="The KV caches kept on disk (setting kv_store_mb).", no_args_is_help=True)


@app.command("list")
def list_entries(as_json: JsonOutput = False) -> None:
    """The entries: when they were last used, their tokens, their size. They hold your code as tokens."""
    store = _store()
    entries = store.entries()
    if as_json:
        rows = [
            {"file": each.path.name, "used": _used(each), "tokens": len(each.tokens), "bytes": each.size}
            for each in entries
        ]
        typer.echo(json.dumps({"folder": str(store.folder), "entries": rows}, indent=2))
        return
    total = sum(each.size for each in entries)
    typer.echo(f"{store.folder}: {len(entries)} entries, {total / 1e6:.1f} MB")
    for each in entries:
        typer.echo(
            f"{_used(each)}  {len(each.tokens):>5} tokens  {each.size / 1e6:>7.1f} MB  {each.path.name}"
        )


@app.command()
def clear() -> None:
    """Delete all entries."""
    store = _store()
    typer.echo(f"{store.clear()} files deleted from {store.folder}")


def _used(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.path.stat().st_mtime).isoformat(" ", "seconds")


def _store() -> KVStore:
    from flash_engine.kvstore import KVStore
    from flash_lsp.recall import store_folder

    return KVStore(store_folder(), 0)
