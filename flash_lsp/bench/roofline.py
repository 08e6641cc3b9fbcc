"""What each operation of the native engine computes and reads, and how long that takes in a pass."""

from __future__ import annotations

import statistics
from typing import Any

from flash_engine import ModelConfig, _native
from flash_engine.backends.native import NativeBackend

DEPTH = 1024
PASSES = (1, 8, 128)


def measure(backend: NativeBackend, tokens: list[int], rounds: int) -> list[dict[str, Any]]:
    """For passes of 1, 8 and 128 tokens after 1,024, each operation's "ms", "products" and "bytes" (read at least
    once: weights, or keys and values); logits for all tokens up to 8, then for the last.

    Times are medians of `rounds` passes, of more where they are short, as the thread that asks sees them, waiting
    for the others included.
    """
    cache = backend.new_cache()
    backend.forward(tokens[:DEPTH], cache, logits=0)
    rows = []
    for m in PASSES:
        wanted = m if m <= 8 else 1
        times: dict[str, list[float]] = {}
        for _ in range(rounds * max(1, 16 // m) + 1):
            cache.trim(DEPTH)
            laps = _native.Laps()
            backend.forward(tokens[:m], cache, logits=wanted, laps=laps)
            for name, spent in laps.seconds.items():
                times.setdefault(name, []).append(spent)
        for name, seconds in times.items():
            rows.append(
                {
                    "operation": name,
                    "tokens": m,
                    "ms": 1000 * statistics.median(seconds[1:]),
                    "products": products(backend.config, name, m, wanted),
                    "bytes": backend.weight_bytes.get(name, 0) or cache_bytes(backend.config, name, m),
                }
            )
    return rows


def products(config: ModelConfig, operation: str, tokens: int, wanted: int) -> int:
    """Multiplications of weights or cached values; 0 for norms and the embedding."""
    hidden, layers = config.hidden_size, config.num_layers
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    positions = sum(DEPTH + i + 1 for i in range(tokens))
    return {
        "qkv": layers * tokens * hidden * (queries + 2 * keys),
        "attention": layers * positions * 2 * queries,
        "o_proj": layers * tokens * hidden * queries,
        "gate_up": layers * tokens * 2 * hidden * config.intermediate_size,
        "down": layers * tokens * hidden * config.intermediate_size,
        "head": wanted * hidden * config.vocab_size,
    }.get(operation, 0)


def cache_bytes(config: ModelConfig, operation: str, tokens: int) -> int:
    """Bytes of int8 keys and values, with their float32 scales, that attention reads."""
    if operation != "attention":
        return 0
    return config.num_layers * (DEPTH + tokens) * 2 * config.num_kv_heads * (config.head_dim + 4)
