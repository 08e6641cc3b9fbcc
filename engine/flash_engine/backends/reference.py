"""The slow, obvious implementation that the others are measured against: numpy, float64, one token at a time."""

from __future__ import annotations

import math
import threading
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
    """[layers, capacity, kv_heads, key_dim], rotated"""
    values: Array
    """[layers, capacity, kv_heads, value_dim]"""
    length: int = 0

    def trim(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot trim to {length} positions: the cache holds {self.length}")
        self.length = length

    def fork(self) -> ReferenceCache:
        return ReferenceCache(self.keys.copy(), self.values.copy(), self.length)

    def save(self) -> bytes:
        return self.keys[:, : self.length].tobytes() + self.values[:, : self.length].tobytes()

    def restore(self, data: bytes, length: int) -> None:
        parts = (self.keys[:, :length], self.values[:, :length])
        if length < 0 or len(data) != sum(part.nbytes for part in parts):
            raise ValueError(f"{len(data)} bytes are not those of {length} tokens of this cache")
        numbers = np.frombuffer(data)
        self.keys[:, :length] = numbers[: parts[0].size].reshape(parts[0].shape)
        self.values[:, :length] = numbers[parts[0].size :].reshape(parts[1].shape)
        self.length = length


class ReferenceBackend:
    """Every architecture that a ModelConfig describes, in float64.

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
            weights[f"{name}.weight"] = checkpoint.matrix(name).dequantize()
        return cls(config, capacity, weights)

    @property
    def name(self) -> str:
        return "reference (numpy float64)"

    def new_cache(self) -> ReferenceCache:
        config = self.config
        shape = (config.num_layers, self.capacity, config.num_kv_heads)
        return ReferenceCache(np.zeros((*shape, config.key_dim)), np.zeros((*shape, config.value_dim)))

    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
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
        hidden = embedding[token] * self.config.embedding_multiplier
        moe = self.config.moe
        for layer in range(self.config.num_layers):
            prefix = f"model.layers.{layer}"
            hidden = hidden + self._attention(layer, self._norm(f"{prefix}.input_layernorm", hidden), cache)
            feed_forward = self._mlp if moe is None or layer not in moe.layers else self._experts
            hidden = hidden + feed_forward(
                f"{prefix}.mlp", self._norm(f"{prefix}.post_attention_layernorm", hidden)
            )
        cache.length += 1
        if not wanted:
            return None
        head = embedding if self.config.tie_embeddings else self._weights["lm_head.weight"]
        return head @ self._norm("model.norm", hidden)

    def _attention(self, layer: int, x: Array, cache: ReferenceCache) -> Array:
        config, prefix, position = self.config, f"model.layers.{layer}.self_attn", cache.length
        project = self._heads if config.mla is None else self._latent_heads
        queries, keys, values = project(prefix, x, position)
        cache.keys[layer, position], cache.values[layer, position] = through_int8(keys), through_int8(values)
        first = max(0, position + 1 - (config.sliding_window(layer) or position + 1))
        repeats = config.num_heads // config.num_kv_heads
        heads = []
        for head, query in enumerate(queries):
            scores = cache.keys[layer, first : position + 1, head // repeats] @ query
            weights = softmax(scores * config.attention_scale)
            heads.append(weights @ cache.values[layer, first : position + 1, head // repeats])
        return self._linear(f"{prefix}.o_proj", np.concatenate(heads))

    def _heads(self, prefix: str, x: Array, position: int) -> tuple[Array, Array, Array]:
        """Queries [heads, key_dim], keys [kv_heads, key_dim], values [kv_heads, value_dim] of a token."""
        queries, keys, values = (
            self._linear(f"{prefix}.{part}_proj", x).reshape(-1, self.config.head_dim) for part in "qkv"
        )
        if self.config.qk_norm:
            queries = self._rms_norm(f"{prefix}.q_norm", queries, self.config.norm_eps)
            keys = self._rms_norm(f"{prefix}.k_norm", keys, self.config.norm_eps)
        return self._rotate(queries, position), self._rotate(keys, position), values

    def _latent_heads(self, prefix: str, x: Array, position: int) -> tuple[Array, Array, Array]:
        """The same from latent vectors; every key head ends with the same rotated values."""
        config, latent = self.config, self.config.mla
        assert latent is not None
        if latent.query_rank is None:
            queries = self._linear(f"{prefix}.q_proj", x)
        else:
            small = self._linear(f"{prefix}.q_a_proj", x)
            queries = self._linear(
                f"{prefix}.q_b_proj", self._rms_norm(f"{prefix}.q_a_layernorm", small, latent.norm_eps)
            )
        queries = queries.reshape(config.num_heads, -1)
        small, shared = np.split(self._linear(f"{prefix}.kv_a_proj_with_mqa", x), [latent.kv_rank])
        both = self._linear(
            f"{prefix}.kv_b_proj", self._rms_norm(f"{prefix}.kv_a_layernorm", small, latent.norm_eps)
        ).reshape(config.num_heads, -1)
        keys, values = np.split(both, [latent.nope_dim], axis=1)
        turned = np.repeat(self._rotate(shared[None], position), config.num_heads, axis=0)
        kept, pairs = np.split(queries, [latent.nope_dim], axis=1)
        queries = np.concatenate((kept, self._rotate(pairs, position)), axis=1)
        return queries, np.concatenate((keys, turned), axis=1), values

    def _mlp(self, prefix: str, x: Array) -> Array:
        up = self._linear(f"{prefix}.up_proj", x)
        if self.config.gated_mlp:
            gate = self._linear(f"{prefix}.gate_proj", x)
            return self._linear(f"{prefix}.down_proj", self._activate(gate) * up)
        return self._linear(f"{prefix}.down_proj", self._activate(up))

    def _experts(self, prefix: str, x: Array) -> Array:
        moe = self.config.moe
        assert moe is not None
        shares = softmax(self._linear(f"{prefix}.gate", x))
        groups = shares.reshape(moe.groups, -1)
        dropped = np.argsort(-groups.max(axis=1), kind="stable")[moe.groups_per_token :]
        groups[dropped] = 0
        chosen = np.argsort(-shares, kind="stable")[: moe.experts_per_token]
        factors = moe.scale * shares[chosen] / (shares[chosen].sum() if moe.normalize else 1)
        result = sum(
            (
                factor * self._mlp(f"{prefix}.experts.{expert}", x)
                for expert, factor in zip(chosen, factors, strict=True)
            ),
            start=np.zeros_like(x),
        )
        return result + self._mlp(f"{prefix}.shared_experts", x) if moe.shared_intermediate_size else result

    def _activate(self, x: Array) -> Array:
        share: Array
        match self.config.activation:
            case "silu":
                share = 1 / (1 + np.exp(-x))
            case "gelu":
                share = np.array([1 + math.erf(value) for value in x / math.sqrt(2)]) / 2
            case "gelu_tanh":
                share = (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
        return x * share

    def _linear(self, name: str, x: Array) -> Array:
        result: Array = self._weights[f"{name}.weight"] @ x
        bias = self._weights.get(f"{name}.bias")
        return result if bias is None else result + bias

    def _norm(self, name: str, x: Array) -> Array:
        if self.config.norm == "rms":
            return self._rms_norm(name, x, self.config.norm_eps)
        normal: Array = (x - x.mean()) / np.sqrt(x.var() + self.config.norm_eps)
        return self._weights[f"{name}.weight"] * normal + self._weights[f"{name}.bias"]

    def _rms_norm(self, name: str, x: Array, eps: float) -> Array:
        normal: Array = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        return self._weights[f"{name}.weight"] * normal

    def _rotate(self, heads: Array, position: int) -> Array:
        """Rotary embedding of [heads, dim]; pairs are (i, i + dim / 2)."""
        rope, dim = self.config.rope, heads.shape[1]
        angles = position * rope.frequencies(dim)
        a, b = heads[:, : dim // 2], heads[:, dim // 2 :]
        cos, sin = rope.magnitude * np.cos(angles), rope.magnitude * np.sin(angles)
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), axis=1)


def softmax(scores: Array) -> Array:
    weights: Array = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights


def through_int8(rows: Array) -> Array:
    """`rows` [heads, dim] quantized to int8, one float32 scale a row, and dequantized."""
    scales: Array = (np.abs(rows).max(axis=1, keepdims=True) / 127).astype(np.float32).astype(np.float64)
    quantized: Array = np.rint(np.divide(rows, scales, out=np.zeros_like(rows), where=scales > 0))
    return quantized * scales
