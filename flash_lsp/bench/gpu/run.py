"""The whole bench of a shape: fused, beside the same model in plain MLX operations and, with mlx-lm, the stock path."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import mlx.core as mx

from flash_lsp.bench.gpu import measure, shapes
from flash_lsp.bench.gpu.fused import model
from flash_lsp.bench.gpu.measure import Model
from flash_lsp.bench.gpu.plain import Plain
from flash_lsp.bench.gpu.shapes import Shape
from flash_lsp.bench.gpu.stock import Stock
from flash_metal.registry import Registry

CAPACITY = 4096
CONTEXTS = (128, 2048)
PASSES = tuple(range(1, 9))
PROMPTS = (128, 512, 2048)

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
    """Figures of `shape` with random weights and float16 activations, all paths in turn.

    `stock` is missing without mlx-lm. compile_s: the kernels of every size of pass, if they were not on disk.
    """
    progress("random weights", 0.0)
    weights = shapes.weights(shape, mx.float16, kernels.tile)
    begun = time.perf_counter()
    fused = model(kernels, shape, weights, capacity)
    compiled = time.perf_counter() - begun
    mx.reset_peak_memory()
    fused.start(contexts[-1])
    begun = time.perf_counter()
    fused.next(measure.tokens(1))
    first = time.perf_counter() - begun
    measure.decode(fused, contexts[-1], steps=8, rounds=2)
    found: dict[str, Any] = {
        "mlx": version("mlx"),
        "compile_s": compiled,
        "first_pass_s": first,
        "weight_bytes": shape.weight_bytes,
        "peak_bytes": mx.get_peak_memory(),
        "decode_tokens_s": {},
    }
    progress("stock weights", 0.1)
    others: dict[str, Model] = {"plain": Plain(shape, shapes.weights(shape, mx.float16))}
    if (stock := _stock(shape)) is not None:
        others["stock"] = stock
    for number, context in enumerate(contexts):
        progress(f"decoding at {context}", 0.3 + 0.3 * number / len(contexts))
        found["decode_tokens_s"][str(context)] = _decoding(fused, others, context, rounds)
    progress("passes", 0.7)
    timed = measure.passes(fused, contexts[-1], PASSES)
    found["passes"] = {
        str(size): times.figures() | {"v": times.median / timed[1].median} for size, times in timed.items()
    }
    for name, other in others.items():
        progress(f"{name} passes", 0.8)
        slow = measure.passes(other, contexts[-1], (1, 4), rounds=14)
        found[f"{name}_passes"] = {str(size): times.figures() for size, times in slow.items()}
    progress("prompts", 0.9)
    sizes = [size for size in PROMPTS if size <= capacity]
    found["prompts"] = {str(size): times.figures() for size, times in measure.prompts(fused, sizes).items()}
    progress("done", 1.0)
    return found


def _decoding(fused: Model, others: dict[str, Model], context: int, rounds: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in ("fused", *others)}
    for _ in range(rounds):
        rates["fused"].append(measure.decode(fused, context, rounds=2)["tokens_s"])
        for name, other in others.items():
            rates[name].append(measure.decode(other, context, steps=64, rounds=2)["tokens_s"])
    found = {name: statistics.median(all_of) for name, all_of in rates.items()}
    return found | {f"over_{name}": found["fused"] / found[name] for name in others}


def _stock(shape: Shape) -> Stock | None:
    try:
        return Stock(shape, mx.float16)
    except ImportError:
        return None
