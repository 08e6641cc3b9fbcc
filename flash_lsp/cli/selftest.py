"""`flash-lsp selftest`: the GPU's kernels against plain mathematics on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from flash_lsp.cli.options import JsonOutput


def selftest(as_json: JsonOutput = False) -> None:
    """Test the fused kernels on this machine's GPU. Exit code 1 if one is wrong; then plain operations are used.

    The same runs once by itself when a model is first loaded on a GPU, and is remembered for the device, the release
    of MLX and the kernels' text; this command runs it again.
    """
    from flash_engine.backends.metal import set_buffer_limits
    from flash_lsp.cli.errors import InputError

    set_buffer_limits()

    try:
        import mlx.core as mx

        from flash_metal import tilings, verdict
    except ImportError as error:
        raise InputError("the GPU engine needs the package mlx: pip install 'flash-lsp[mlx]'") from error
    if not (mx.metal.is_available() or mx.cuda.is_available()):
        raise InputError("MLX has no GPU back end here: the CPU engine (device=native) needs no self-test")
    results = verdict.test(mx.float16, tilings.of_chip(mx.device_info(mx.gpu)))
    ok = not any(result.fault for result in results)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "kernels": [asdict(result) for result in results]}, indent=2))
    else:
        _print(str(mx.device_info(mx.gpu)["device_name"]), [asdict(result) for result in results], ok)
    if not ok:
        raise typer.Exit(1)


def _print(device: str, results: list[dict[str, object]], ok: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Fused kernels on {device}", title_justify="left")
    for column in ("kernel", "result", "error", "allowed", "then"):
        table.add_column(column, justify="right" if column in ("error", "allowed") else "left")
    for result in results:
        fault = str(result["fault"])
        table.add_row(
            str(result["kernel"]),
            fault or "ok",
            f"{result['error']:.1e}",
            f"{result['tolerance']:.1e}",
            "plain MLX operations" if fault else "fused",
        )
    console = Console()
    console.print(table)
    if not ok:
        console.print("Models run on plain MLX operations here: slower, and right. Please report this table.")
