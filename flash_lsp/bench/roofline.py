"""What each operation of the native engine computes and reads, and how long that takes in a pass."""

from __future__ import annotations

import statistics
from typing import Any

from flash_engine import ModelConfig, _native
from flash_engine.backends.native import NativeBackend
from flash_engine.shapes import matrix_shapes, share_read

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
    if operation == "attention":
        positions = sum(DEPTH + i + 1 for i in range(tokens))
        return config.num_layers * positions * config.num_heads * (config.key_dim + config.value_dim)
    return (wanted if operation == "head" else tokens) * token_products(config).get(operation, 0)


_OPERATIONS = {
    "o_proj": "o_proj",
    "down_proj": "down",
    "gate": "gate_up",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
}


def token_products(config: ModelConfig) -> dict[str, int]:
    """Products of weights and activations for one token with logits, by operation; of experts those it uses."""
    head = "model.embed_tokens" if config.tie_embeddings else "lm_head"
    totals: dict[str, float] = {}
    for name, (rows, columns) in matrix_shapes(config).items():
        if name == head:
            operation = "head"
        elif name == "model.embed_tokens":
            continue
        else:
            operation = _OPERATIONS.get(name.rpartition(".")[2], "qkv")
        totals[operation] = totals.get(operation, 0) + share_read(config, name) * rows * columns
    return {operation: round(total) for operation, total in totals.items()}


def cache_bytes(config: ModelConfig, operation: str, tokens: int) -> int:
    """Bytes of int8 keys and values, with their float32 scales, that attention reads."""
    if operation != "attention":
        return 0
    head = config.key_dim + config.value_dim + 8
    return config.num_layers * (DEPTH + tokens) * config.num_kv_heads * head
