"""The model in plain MLX operations: the path to GPUs until fused kernels exist; on CPUs, a second opinion.

Exactness by fixed shapes: every pass is cut into tiles of eight positions, [8 i, 8 i + 8), always padded to
eight rows at the row that the position belongs to, and attention reads a number of cache rows that depends on
the tile alone. So what is computed for a position never depends on how the tokens before it came into the
cache.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

import mlx.core as mx
import numpy as np

from flash_engine.backend import KVCache, Logits
from flash_engine.backends.metal import while_wired
from flash_engine.checkpoint import Checkpoint, DenseMatrix, Matrix, matrix_shapes, vector_shapes
from flash_engine.config import ModelConfig
from flash_engine.errors import CapacityError

TILE = 8
"""Positions of one tile."""

_BLOCK = 256
"""Attention reads the cache up to a multiple of this many positions."""


class MlxCache:
    """int8 keys (rotated) and values with one float32 scale for each token and head.

    For each layer: [keys, values] int8 [kv_heads, rows, key_dim or value_dim] and their scales
    [kv_heads, rows, 1].
    """

    def __init__(self, config: ModelConfig, rows: int) -> None:
        heads, dims, layers = (
            config.num_kv_heads,
            (config.key_dim, config.value_dim),
            range(config.num_layers),
        )
        self.length = 0
        self.codes = [[mx.zeros((heads, rows, dim), mx.int8) for dim in dims] for _ in layers]
        self.scales = [[mx.zeros((heads, rows, 1), mx.float32) for _ in dims] for _ in layers]

    def trim(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot trim to {length} positions: the cache holds {self.length}")
        self.length = length

    def fork(self) -> MlxCache:
        twin = object.__new__(MlxCache)
        twin.length = self.length
        twin.codes = [[mx.array(part) for part in layer] for layer in self.codes]
        twin.scales = [[mx.array(part) for part in layer] for layer in self.scales]
        return twin

    def write(self, layer: int, part: int, rows: mx.array, tile: slice, at: slice) -> None:
        """Quantize `rows` [kv_heads, TILE, dim] and store those of `tile` at the positions `at`."""
        amax = mx.max(mx.abs(rows.astype(mx.float32)), axis=-1, keepdims=True)
        scales = amax / 127
        codes = mx.round(mx.where(scales > 0, rows / scales, 0)).astype(mx.int8)
        self.codes[layer][part][:, at] = codes[:, tile]
        self.scales[layer][part][:, at] = scales[:, tile]

    def read(self, layer: int, part: int, rows: int, dtype: mx.Dtype) -> mx.array:
        """The first `rows` positions dequantized, [1, kv_heads, rows, dim]."""
        codes, scales = self.codes[layer][part][:, :rows], self.scales[layer][part][:, :rows]
        return (codes.astype(mx.float32) * scales).astype(dtype)[None]


@dataclass(frozen=True, slots=True)
class _Dense:
    values: mx.array
    """[n, k]"""

    def times(self, x: mx.array) -> mx.array:
        return x @ self.values.T

    def rows(self, tokens: mx.array) -> mx.array:
        return self.values[tokens]


@dataclass(frozen=True, slots=True)
class _Quantized:
    weight: mx.array
    scales: mx.array
    biases: mx.array
    group_size: int
    bits: int

    def times(self, x: mx.array) -> mx.array:
        return mx.quantized_matmul(
            x, self.weight, self.scales, self.biases, group_size=self.group_size, bits=self.bits
        )

    def rows(self, tokens: mx.array) -> mx.array:
        parts = (self.weight[tokens], self.scales[tokens], self.biases[tokens])
        return mx.dequantize(*parts, group_size=self.group_size, bits=self.bits)


class MlxBackend:
    """Every architecture that a ModelConfig describes. float16 activations on a GPU, float32 on a CPU, where
    MLX's 16-bit products are 40 times slower."""

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        matrices: dict[str, _Dense | _Quantized],
        vectors: dict[str, mx.array],
        note: str = "",
    ) -> None:
        self._note = note
        self.config = config
        self.capacity = capacity
        self._matrices = matrices
        self._vectors = vectors
        self._dtype = vectors["model.norm.weight"].dtype
        dim = config.head_dim if config.mla is None else config.mla.rope_dim
        self._periods = mx.array((1 / config.rope.frequencies(dim)).astype(np.float32))

    @classmethod
    def load(
        cls, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None, note: str = ""
    ) -> Self:
        """Weights stay in their bits; all floating-point values take the activations' type. `note` joins the name."""
        config = checkpoint.config
        dtype = mx.float16 if mx.default_device().type == mx.DeviceType.gpu else mx.float32
        vectors = {name: mx.array(checkpoint.vector(name)).astype(dtype) for name in vector_shapes(config)}
        matrices = {}
        for name in matrix_shapes(config):
            matrices[name] = _on_device(checkpoint.matrix(name), dtype)
        return cls(config, capacity, matrices, vectors, note)

    @property
    def name(self) -> str:
        return (
            f"mlx {version('mlx')} ({'; '.join(filter(None, (mx.default_device().type.name, self._note)))})"
        )

    def new_cache(self) -> MlxCache:
        return MlxCache(self.config, _round_up(self.capacity, _BLOCK))

    @while_wired
    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, MlxCache)
        if cache.length + len(tokens) > self.capacity:
            raise CapacityError(
                f"{len(tokens)} tokens after {cache.length} exceed the context of {self.capacity}"
            )
        rows: list[mx.array] = []
        start, end = cache.length, cache.length + len(tokens)
        while cache.length < end:
            stop = min(_round_up(cache.length + 1, TILE), end)
            hidden = self._tile(tokens[cache.length - start : stop - start], cache)
            wanted = min(stop - cache.length, max(0, stop - (end - logits)))
            if wanted:
                row = stop - (stop - 1) // TILE * TILE
                rows.append(self._head(hidden)[row - wanted : row])
            cache.length = stop
            mx.eval(rows, cache.codes, cache.scales)
        if not rows:
            return np.zeros((0, self.config.vocab_size), np.float32)
        return np.array(mx.concatenate(rows).astype(mx.float32))

    def _tile(self, tokens: Sequence[int], cache: MlxCache) -> mx.array:
        """Hidden states [TILE, hidden_size] of the tile at `cache.length`, valid where `tokens` are."""
        first = cache.length // TILE * TILE
        rows = slice(cache.length - first, cache.length - first + len(tokens))
        padded = np.zeros(TILE, np.int32)
        padded[rows] = tokens
        hidden = self._matrices["model.embed_tokens"].rows(mx.array(padded))
        hidden = hidden * self.config.embedding_multiplier
        moe = self.config.moe
        for layer in range(self.config.num_layers):
            prefix = f"model.layers.{layer}"
            hidden = hidden + self._attention(
                layer, self._norm(f"{prefix}.input_layernorm", hidden), cache, first, rows
            )
            inner = self._norm(f"{prefix}.post_attention_layernorm", hidden)
            if moe is not None and layer in moe.layers:
                hidden = hidden + self._experts(f"{prefix}.mlp", inner, rows)
            else:
                hidden = hidden + self._mlp(f"{prefix}.mlp", inner)
        return hidden

    def _attention(self, layer: int, x: mx.array, cache: MlxCache, first: int, rows: slice) -> mx.array:
        config, prefix = self.config, f"model.layers.{layer}.self_attn"
        project = self._heads if config.mla is None else self._latent_heads
        queries, keys, values = project(prefix, x, first)
        at = slice(first + rows.start, first + rows.stop)
        cache.write(layer, 0, keys, rows, at)
        cache.write(layer, 1, values, rows, at)
        length = _round_up(first + TILE, _BLOCK)
        position, query = mx.arange(length)[None], mx.arange(first, first + TILE)[:, None]
        mask = position <= query
        window = config.sliding_window(layer)
        if window is not None:
            mask = mask & (position > query - window)
        mixed = mx.fast.scaled_dot_product_attention(
            queries[None],
            cache.read(layer, 0, length, self._dtype),
            cache.read(layer, 1, length, self._dtype),
            scale=config.attention_scale,
            mask=mask,
        )
        return self._linear(f"{prefix}.o_proj", mixed[0].swapaxes(0, 1).reshape(TILE, -1))

    def _heads(self, prefix: str, x: mx.array, first: int) -> tuple[mx.array, mx.array, mx.array]:
        """Queries, keys and values of a tile, each [heads, TILE, dim]."""
        queries, keys, values = (
            self._linear(f"{prefix}.{part}_proj", x).reshape(TILE, -1, self.config.head_dim) for part in "qkv"
        )
        if self.config.qk_norm:
            queries = self._rms_norm(f"{prefix}.q_norm", queries, self.config.norm_eps)
            keys = self._rms_norm(f"{prefix}.k_norm", keys, self.config.norm_eps)
        queries, keys, values = (part.swapaxes(0, 1) for part in (queries, keys, values))
        return self._rotate(queries, first), self._rotate(keys, first), values

    def _latent_heads(self, prefix: str, x: mx.array, first: int) -> tuple[mx.array, mx.array, mx.array]:
        """The same from latent vectors; every key head ends with the same rotated values."""
        latent, heads = self.config.mla, self.config.num_heads
        assert latent is not None
        if latent.query_rank is None:
            queries = self._linear(f"{prefix}.q_proj", x)
        else:
            small = self._linear(f"{prefix}.q_a_proj", x)
            normal = self._rms_norm(f"{prefix}.q_a_layernorm", small, latent.norm_eps)
            queries = self._linear(f"{prefix}.q_b_proj", normal)
        kept, pairs = mx.split(queries.reshape(TILE, heads, -1).swapaxes(0, 1), [latent.nope_dim], axis=-1)
        small, shared = mx.split(self._linear(f"{prefix}.kv_a_proj_with_mqa", x), [latent.kv_rank], axis=-1)
        normal = self._rms_norm(f"{prefix}.kv_a_layernorm", small, latent.norm_eps)
        both = self._linear(f"{prefix}.kv_b_proj", normal).reshape(TILE, heads, -1).swapaxes(0, 1)
        keys, values = mx.split(both, [latent.nope_dim], axis=-1)
        turned = mx.repeat(self._rotate(shared[None], first), heads, axis=0)
        queries = mx.concatenate([kept, self._rotate(pairs, first)], axis=-1)
        return queries, mx.concatenate([keys, turned], axis=-1), values

    def _rotate(self, heads: mx.array, first: int) -> mx.array:
        """[heads, TILE, dim] at the positions from `first` on."""
        dim = heads.shape[-1]
        turned = mx.fast.rope(
            heads[None], dim, traditional=False, base=None, scale=1.0, offset=first, freqs=self._periods
        )[0]
        return turned * self.config.rope.magnitude

    def _mlp(self, prefix: str, x: mx.array) -> mx.array:
        up = self._linear(f"{prefix}.up_proj", x)
        if self.config.gated_mlp:
            return self._linear(
                f"{prefix}.down_proj", self._activate(self._linear(f"{prefix}.gate_proj", x)) * up
            )
        return self._linear(f"{prefix}.down_proj", self._activate(up))

    def _experts(self, prefix: str, x: mx.array, rows: slice) -> mx.array:
        """Each expert that a token of `rows` chose runs on the whole tile; the others' shares are zero."""
        moe = self.config.moe
        assert moe is not None
        shares = mx.softmax(self._linear(f"{prefix}.gate", x).astype(mx.float32), axis=-1)
        groups = shares.reshape(TILE, moe.groups, -1)
        rank = mx.argsort(mx.argsort(-groups.max(axis=-1), axis=-1), axis=-1)
        shares = mx.where(rank[..., None] < moe.groups_per_token, groups, 0).reshape(TILE, -1)
        rank = mx.argsort(mx.argsort(-shares, axis=-1), axis=-1)
        shares = mx.where(rank < moe.experts_per_token, shares, 0)
        if moe.normalize:
            shares = shares / shares.sum(axis=-1, keepdims=True)
        shares = (moe.scale * shares).astype(x.dtype)
        result = mx.zeros_like(x)
        for expert in np.flatnonzero(np.array((shares[rows] > 0).any(axis=0))):
            share = shares[:, int(expert), None]
            result = result + share * self._mlp(f"{prefix}.experts.{expert}", x)
        if moe.shared_intermediate_size:
            result = result + self._mlp(f"{prefix}.shared_experts", x)
        return result

    def _activate(self, x: mx.array) -> mx.array:
        match self.config.activation:
            case "silu":
                return x * mx.sigmoid(x)
            case "gelu":
                return x * (1 + mx.erf(x / math.sqrt(2))) / 2
            case "gelu_tanh":
                return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def _norm(self, name: str, x: mx.array) -> mx.array:
        if self.config.norm == "rms":
            return self._rms_norm(name, x, self.config.norm_eps)
        weight, bias = self._vectors[f"{name}.weight"], self._vectors[f"{name}.bias"]
        return mx.fast.layer_norm(x, weight, bias, self.config.norm_eps)

    def _rms_norm(self, name: str, x: mx.array, eps: float) -> mx.array:
        return mx.fast.rms_norm(x, self._vectors[f"{name}.weight"], eps)

    def _head(self, hidden: mx.array) -> mx.array:
        name = "model.embed_tokens" if self.config.tie_embeddings else "lm_head"
        return self._linear(name, self._norm("model.norm", hidden))

    def _linear(self, name: str, x: mx.array) -> mx.array:
        result = self._matrices[name].times(x)
        bias = self._vectors.get(f"{name}.bias")
        return result if bias is None else result + bias


def _on_device(matrix: Matrix, dtype: mx.Dtype) -> _Dense | _Quantized:
    if isinstance(matrix, DenseMatrix):
        stored = mx.array(matrix.stored)
        values = (stored.view(mx.bfloat16) if stored.dtype == mx.uint16 else stored).astype(dtype)
        mx.eval(values)
        return _Dense(values)
    weight = mx.array(matrix.weight)
    scales, biases = (mx.array(part).astype(dtype) for part in (matrix.scales, matrix.biases))
    mx.eval(weight, scales, biases)
    return _Quantized(weight, scales, biases, matrix.quantization.group_size, matrix.bits)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
