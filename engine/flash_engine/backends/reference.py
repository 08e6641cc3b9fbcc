"""The model in numpy float64, one token at a time: slow, obvious, and what the others are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from flash_engine.backend import KVCache, Logits
from flash_engine.checkpoint import Checkpoint, matrix_shapes, vector_shapes
from flash_engine.config import ModelConfig
from flash_engine.errors import CapacityError

Array = NDArray[np.float64]


@dataclass
class ReferenceCache:
    """Keys and values as int8 with one scale for each token and head, kept dequantized."""

    keys: Array
    """[layers, capacity, kv_heads, head_dim], rotated"""
    values: Array
    """[layers, capacity, kv_heads, head_dim]"""
    length: int = 0

    def trim(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot trim to {length} positions: the cache holds {self.length}")
        self.length = length

    def fork(self) -> ReferenceCache:
        return ReferenceCache(self.keys.copy(), self.values.copy(), self.length)


class ReferenceBackend:
    """A llama (RMSNorm, rotary embedding with half-split pairs, grouped-query attention, SwiGLU) in float64.

    The KV cache goes through int8 as in the other backends: scale = amax / 127 for each token and head in
    float32, rounded to the nearest even integer; attention reads the rounded values, also those of the token
    itself.
    """

    def __init__(self, config: ModelConfig, capacity: int, weights: dict[str, Array]) -> None:
        self.config = config
        self.capacity = capacity
        self._weights = weights

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None) -> Self:
        """All weights dequantized to float64: 8 bytes a parameter. numpy decides about threads."""
        config = checkpoint.config
        weights: dict[str, Array] = {
            name: checkpoint.vector(name).astype(np.float64) for name in vector_shapes(config)
        }
        for name in matrix_shapes(config):
            weights[f"{name}.weight"] = checkpoint.quantized(name).dequantize()
        return cls(config, capacity, weights)

    @property
    def name(self) -> str:
        return "reference (numpy float64)"

    def new_cache(self) -> ReferenceCache:
        shape = (self.config.num_layers, self.capacity, self.config.num_kv_heads, self.config.head_dim)
        return ReferenceCache(np.zeros(shape), np.zeros(shape))

    def forward(self, tokens: Sequence[int], cache: KVCache, *, logits: int) -> Logits:
        assert isinstance(cache, ReferenceCache)
        if cache.length + len(tokens) > self.capacity:
            raise CapacityError(
                f"{len(tokens)} tokens after {cache.length} exceed the context of {self.capacity}"
            )
        first = len(tokens) - logits
        rows = [self._step(token, cache, wanted=index >= first) for index, token in enumerate(tokens)]
        return np.array(rows[first:], dtype=np.float32).reshape(logits, self.config.vocab_size)

    def _step(self, token: int, cache: ReferenceCache, *, wanted: bool) -> Array | None:
        embedding = self._weights["model.embed_tokens.weight"]
        hidden = embedding[token]
        for layer in range(self.config.num_layers):
            prefix = f"model.layers.{layer}"
            hidden = hidden + self._attention(layer, self._norm(f"{prefix}.input_layernorm", hidden), cache)
            hidden = hidden + self._mlp(
                f"{prefix}.mlp", self._norm(f"{prefix}.post_attention_layernorm", hidden)
            )
        cache.length += 1
        if not wanted:
            return None
        head = embedding if self.config.tie_embeddings else self._weights["lm_head.weight"]
        return head @ self._norm("model.norm", hidden)

    def _attention(self, layer: int, x: Array, cache: ReferenceCache) -> Array:
        config, prefix, position = self.config, f"model.layers.{layer}.self_attn", cache.length
        split = (-1, config.head_dim)
        queries = self._rotate(self._linear(f"{prefix}.q_proj", x).reshape(split), position)
        cache.keys[layer, position] = through_int8(
            self._rotate(self._linear(f"{prefix}.k_proj", x).reshape(split), position)
        )
        cache.values[layer, position] = through_int8(self._linear(f"{prefix}.v_proj", x).reshape(split))
        repeats = config.num_heads // config.num_kv_heads
        heads = []
        for head, query in enumerate(queries):
            keys = cache.keys[layer, : position + 1, head // repeats]
            values = cache.values[layer, : position + 1, head // repeats]
            scores = keys @ query / np.sqrt(config.head_dim)
            weights = np.exp(scores - scores.max())
            heads.append(weights @ values / weights.sum())
        return self._linear(f"{prefix}.o_proj", np.concatenate(heads))

    def _mlp(self, prefix: str, x: Array) -> Array:
        gate, up = self._linear(f"{prefix}.gate_proj", x), self._linear(f"{prefix}.up_proj", x)
        return self._linear(f"{prefix}.down_proj", gate / (1 + np.exp(-gate)) * up)

    def _linear(self, name: str, x: Array) -> Array:
        result: Array = self._weights[f"{name}.weight"] @ x
        bias = self._weights.get(f"{name}.bias")
        return result if bias is None else result + bias

    def _norm(self, name: str, x: Array) -> Array:
        normal: Array = x / np.sqrt(np.mean(x * x) + self.config.rms_norm_eps)
        return self._weights[f"{name}.weight"] * normal

    def _rotate(self, heads: Array, position: int) -> Array:
        """Rotary embedding (Su et al. 2021) of [heads, head_dim]; pairs are (i, i + head_dim / 2)."""
        half = self.config.head_dim // 2
        frequencies = self.config.rope_theta ** (-np.arange(half) / half)
        angles = position / self.config.rope_factor * frequencies
        a, b = heads[:, :half], heads[:, half:]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), axis=1)


def through_int8(rows: Array) -> Array:
    """`rows` [heads, head_dim] quantized to int8, one float32 scale a row, and dequantized."""
    scales: Array = (np.abs(rows).max(axis=1, keepdims=True) / 127).astype(np.float32).astype(np.float64)
    quantized: Array = np.rint(np.divide(rows, scales, out=np.zeros_like(rows), where=scales > 0))
    return quantized * scales
