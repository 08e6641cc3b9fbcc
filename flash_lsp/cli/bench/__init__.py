"""`flash-lsp bench`: the measurements, one subcommand each."""

from __future__ import annotations

import typer

from flash_lsp.cli.bench import engine, gate, gpu, peers, quality, replay, speculation

app = typer.Typer(
    help="Measure: replayed typing, quality of suggestions, speed of the engine, speculation, llama.cpp beside us.",
    no_args_is_help=True,
)
app.command()(replay.replay)
app.command()(quality.quality)
app.command()(gate.gate)
app.command()(engine.engine)
app.command()(gpu.gpu)
app.command()(peers.peers)
app.command()(speculation.speculation)
