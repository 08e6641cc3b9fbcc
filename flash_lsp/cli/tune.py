"""`flash-lsp tune`: the fastest tiling of the GPU's kernels for a model on this machine."""

from __future__ import annotations

import math
from functools import partial

from flash_lsp.cli.options import Model


def tune(model: Model = "flash-coder") -> None:
    """Measure how this machine's GPU computes a model fastest, and keep the result for the next load.

    Takes minutes: each candidate is compiled. Close other programs that use the GPU.
    """
    from rich.console import Console
    from rich.table import Table

    from flash_engine import Checkpoint, bundled
    from flash_engine.backends.metal import set_buffer_limits
    from flash_lsp.cli.errors import InputError

    set_buffer_limits()
    try:
        import mlx.core as mx

        from flash_engine.backends import fused, fused_model
        from flash_metal import tuning
        from flash_metal.launches import Tiling
        from flash_metal.registry import device_registry
    except ImportError as error:
        raise InputError("the GPU engine needs the package mlx: pip install 'flash-lsp[mlx]'") from error
    if not (mx.metal.is_available() or mx.cuda.is_available()):
        raise InputError("MLX has no GPU back end here: the CPU engine (device=native) needs no tuning")
    checkpoint = Checkpoint(bundled.locate(model))
    if reason := fused_model.obstacle(checkpoint):
        raise InputError(f"{model} does not run on the fused kernels ({reason}): there is nothing to tune")
    console = Console()
    kernels = device_registry()
    weights = fused_model.weights(checkpoint, kernels.tile)

    def measure(tiling: Tiling) -> float:
        return fused.pass_seconds(
            partial(fused_model.make_decoder, checkpoint.config, weights, tiling=tiling), kernels
        )

    device, sizes = str(mx.device_info(mx.gpu)["device_name"]), fused_model.sizes(checkpoint)
    with console.status("measuring tilings"):
        chosen, trials = tuning.tune(sizes, fused_model.choose_tiling(checkpoint), measure, fused_model.fault)
    file = tuning.remember(device, sizes, chosen)
    table = Table(title=f"{model} on {device}", title_justify="left")
    for column in ("rows", "SIMD-groups", "split", "key splits", "in attention", "ms, 1 + 4 tokens", ""):
        table.add_column(column, justify="right")
    for trial in trials:
        t = trial.tiling
        figures = (t.rows, t.simdgroups, t.split, t.splits, t.attention_simdgroups)
        took = f"{1e3 * trial.seconds:.2f}" if math.isfinite(trial.seconds) else "-"
        table.add_row(*map(str, figures), took, "chosen" if t == chosen else trial.fault.partition("\n")[0])
    console.print(table)
    console.print(f"Kept in {file}; delete it to go back to the default.", soft_wrap=True)
