"""The whole bench: a shape's decoding, passes, first pass and memory, fused and, with mlx-lm, stock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import mlx.core as mx

from flash_lsp.bench.gpu import measure, shapes
from flash_lsp.bench.gpu.fused import Fused
from flash_lsp.bench.gpu.shapes import Shape
from flash_lsp.bench.gpu.stock import Stock
from flash_metal.launches import Tiling
from flash_metal.registry import Registry

CAPACITY = 4096
CONTEXTS = (128, 2048)
PASSES = tuple(range(1, 9))

Progress = Callable[[str, float], None]
"""Called as a measurement begins: what it is, and the share of all that is done, 0 to 1."""


def run(
    shape: Shape,
    kernels: Registry,
    *,
    capacity: int = CAPACITY,
    contexts: tuple[int, ...] = CONTEXTS,
    rounds: int = 3,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Figures of `shape` with random weights and float16 activations, fused and stock in turn.

    `stock` and the ratios are missing without mlx-lm. first_pass_s includes what had to be compiled.
    """
    progress("random weights", 0.0)
    decoder = shapes.decoder(kernels, Tiling(), shape, shapes.weights(shape, mx.float16))
    fused = Fused(decoder, shape, capacity)
    fused.start(contexts[-1])
    given = measure.tokens(1)
    begun = time.perf_counter()
    fused.step(given).item()
    first = time.perf_counter() - begun
    mx.reset_peak_memory()
    found: dict[str, Any] = {
        "mlx": version("mlx"),
        "first_pass_s": first,
        "weight_bytes": shape.weight_bytes,
        "decode_tokens_s": {},
    }
    measure.decode(fused, contexts[-1], steps=8, rounds=2)
    found["peak_bytes"] = mx.get_peak_memory()
    progress("stock weights", 0.1)
    stock = _stock(shape)
    for number, context in enumerate(contexts):
        progress(f"decoding at {context}", 0.3 + 0.3 * number / len(contexts))
        found["decode_tokens_s"][str(context)] = _decoding(fused, stock, context, rounds)
    progress("passes", 0.7)
    timed = measure.passes(fused, contexts[-1], PASSES)
    found["passes"] = {
        str(size): times.figures() | {"v": times.median / timed[1].median} for size, times in timed.items()
    }
    if stock is not None:
        progress("stock passes", 0.9)
        slow = measure.passes(stock, contexts[-1], (1, 4), rounds=14)
        found["stock_passes"] = {str(size): times.figures() for size, times in slow.items()}
    progress("done", 1.0)
    return found


def _decoding(fused: Fused, stock: Stock | None, context: int, rounds: int) -> dict[str, float]:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measure.decode(fused, context, rounds=2)["tokens_s"])
        if stock is not None:
            theirs.append(measure.decode(stock, context, steps=64, rounds=2)["tokens_s"])
    found = {"fused": statistics.median(ours)}
    if theirs:
        found |= {"stock": statistics.median(theirs), "ratio": found["fused"] / statistics.median(theirs)}
    return found


def _stock(shape: Shape) -> Stock | None:
    try:
        return Stock(shape, mx.float16)
    except ImportError:
        return None
