"""`flash-lsp models`: list, pull, convert, verify, remove, eval."""

from __future__ import annotations

import typer

from flash_lsp.cli.models import convert, evaluate, listing, pull, shelf

app = typer.Typer(help="The models on this machine, and more of them.", no_args_is_help=True)
app.command("list")(listing.list_models)
app.command()(pull.pull)
app.command()(convert.convert)
app.command()(shelf.verify)
app.command()(shelf.remove)
app.command("eval")(evaluate.evaluate)
