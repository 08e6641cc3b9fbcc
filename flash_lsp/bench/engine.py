"""Speed of the native engine, and the limits of the machine measured beside it in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flash_engine import Checkpoint, ModelConfig, _native
from flash_engine.backends.native import NativeBackend, default_threads
from flash_engine.shapes import matrix_shapes, share_read
from flash_lsp.bench import roofline
from flash_lsp.bench.machine import machine

DEPTHS = (0, 1024)
PROMPTS = (128, 512)
PASSES = (1, 2, 3, 4, 6, 8, 12, 16)

Progress = Callable[[str, float], None]
"""Called as a measurement begins: what it is, and the share of all that is done, 0 to 1."""


def run(
    checkpoint: Checkpoint,
    *,
    threads: Sequence[int] | None = None,
    rounds: int = 7,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Measure the model with each number of threads (default: 1 and one a core).

    Times are medians over `rounds` with the fastest and slowest beside them. Tokens are random: speed does not
    depend on them. decode: greedy steps after `depth` tokens; prefill: a prompt into an empty cache; passes:
    m tokens with logits for all, on a cache of 1,024; operations: roofline.measure. `limit_share`: the time that the
    weights' bytes or the products of a token need at the measured limits, the larger, divided by the decode time
    at depth 0; `bandwidth_share`: the same for the bytes alone. `v8`: the time of a pass of 8 over that of a pass of 1;
    `v8_limit`: the same of what these passes need at the limits.
    """
    counts = sorted(set(threads or (1, default_threads())))
    results = []
    for index, count in enumerate(counts):
        share = index / len(counts)
        progress(f"{count} threads: loading", share)
        backend = NativeBackend.load(checkpoint, capacity=_capacity(checkpoint.config), threads=count)
        progress(f"{count} threads: measuring", share)
        results.append(_measure(backend, count, rounds))
    progress("done", 1.0)
    return {
        "model": checkpoint.folder.name,
        "machine": machine(),
        "isas": _native.supported_isas(),
        "threads": results,
    }


def _capacity(config: ModelConfig) -> int:
    return min(config.max_positions, DEPTHS[-1] + max(PROMPTS))


def _measure(backend: NativeBackend, threads: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tokens = rng.integers(backend.config.vocab_size // 2, size=backend.capacity).tolist()
    limits = measure_limits(backend)
    decode = {depth: decode_times(backend, tokens, depth, rounds) for depth in DEPTHS}
    passes = {str(m): _milliseconds(_passes(backend, tokens, m, rounds)) for m in PASSES}
    return {
        "threads": threads,
        "backend": backend.name,
        "limits": limits,
        "decode": {str(depth): _rate(1, times) for depth, times in decode.items()},
        "prefill": {str(size): _rate(size, _prefill(backend, tokens[:size], rounds)) for size in PROMPTS},
        "passes_ms": passes,
        "operations": roofline.measure(backend, tokens, rounds),
        "limit_share": limits["token_ms"] / 1000 / statistics.median(decode[0]),
        "bandwidth_share": limits["memory_ms"] / 1000 / statistics.median(decode[0]),
        "v8": passes["8"]["median"] / passes["1"]["median"],
        "v8_limit": limits["pass8_ms"] / limits["pass1_ms"],
    }


def measure_limits(backend: NativeBackend) -> dict[str, float]:
    """What the machine can do at most with the backend's threads and instructions, and what a token needs of it, on an
    empty cache or, as pass1_ms and pass8_ms, alone and as one of 8 after 1,024."""
    size = sum(backend.weight_bytes.values())
    bandwidth = _native.read_bandwidth(_all_bytes(backend.config, size), backend.threads)
    products = _native.product_rate(backend.isa, backend.threads)

    def pass_ms(m: int) -> float:
        operations = (*roofline.token_products(backend.config), "attention")
        computed = sum(roofline.products(backend.config, name, m, m) for name in operations)
        read = size + roofline.cache_bytes(backend.config, "attention", m)
        return 1000 * max(read / bandwidth, computed / products)

    memory_ms = 1000 * size / bandwidth
    product_ms = 1000 * token_products(backend.config) / products
    return {
        "weight_mb": size / 1e6,
        "read_gb_per_s": bandwidth / 1e9,
        "int8_gmac_per_s": products / 1e9,
        "memory_ms": memory_ms,
        "product_ms": product_ms,
        "token_ms": max(memory_ms, product_ms),
        "pass1_ms": pass_ms(1),
        "pass8_ms": pass_ms(8),
    }


def token_products(config: ModelConfig) -> int:
    """Products of weights and activations for one token with logits; attention is not counted."""
    return sum(roofline.token_products(config).values())


def _all_bytes(config: ModelConfig, read: int) -> int:
    """Bytes of all weights, of which a token reads `read`: what the experts of others push out of caches."""
    shapes = matrix_shapes(config)
    unread = sum((1 - share_read(config, name)) * rows * columns for name, (rows, columns) in shapes.items())
    return int(read * (1 + unread / token_products(config)))


def decode_times(backend: NativeBackend, tokens: list[int], depth: int, rounds: int) -> list[float]:
    """Seconds of each step of `rounds` short generations."""
    cache = backend.new_cache()
    if depth:
        backend.forward(tokens[:depth], cache, logits=0)
    times = []
    for _ in range(rounds):
        cache.trim(depth)
        for token in tokens[:16]:
            start = time.perf_counter()
            logits = backend.forward([token], cache, logits=1)
            _native.argmax_logprob(logits[0])
            times.append(time.perf_counter() - start)
    return times


def _prefill(backend: NativeBackend, tokens: list[int], rounds: int) -> list[float]:
    cache = backend.new_cache()

    def prefill() -> None:
        cache.trim(0)
        backend.forward(tokens, cache, logits=1)

    return _times(prefill, rounds)


def _passes(backend: NativeBackend, tokens: list[int], m: int, rounds: int) -> list[float]:
    cache = backend.new_cache()
    depth = DEPTHS[-1]
    backend.forward(tokens[:depth], cache, logits=0)

    def verify() -> None:
        cache.trim(depth)
        backend.forward(tokens[:m], cache, logits=m)

    return _times(verify, rounds)


def _times(work: Callable[[], None], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls, after one that is not counted."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def _rate(tokens: int, times: Sequence[float]) -> dict[str, float]:
    """Tokens a second: of the median time, of the slowest and of the fastest."""
    return {
        "tokens_per_s": tokens / statistics.median(times),
        "lowest": tokens / max(times),
        "highest": tokens / min(times),
    }


def _milliseconds(times: Sequence[float]) -> dict[str, float]:
    return {
        "median": 1000 * statistics.median(times),
        "lowest": 1000 * min(times),
        "highest": 1000 * max(times),
    }
