"""The typer application. Commands import what they need when they run, so that `serve` starts at once."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from flash_lsp.cli import bench, cache, complete, demo, doctor, models, selftest, serve, stats, tune

app = typer.Typer(
    help="Offline code completion: a language server with an in-process int4 engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(complete.complete)
app.command()(demo.demo)
app.add_typer(bench.app, name="bench")
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")
app.command()(doctor.doctor)
app.command()(stats.stats)
app.command()(selftest.selftest)
app.command()(tune.tune)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flash-lsp {version('flash-lsp')}")
        raise typer.Exit()


@app.callback()
def _flash_lsp(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Offline code completion: a language server with an in-process int4 engine."""
