"""The model in plain MLX operations: the path to GPUs until fused kernels exist; on CPUs, a second opinion.

Exactness by fixed shapes: every pass is cut into tiles of eight positions, [8 i, 8 i + 8), always padded to
eight rows at the row that the position belongs to, and attention reads a number of cache rows that depends on
the tile alone. So what is computed for a position never depends on how the tokens before it came into the
cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Self

import mlx.core as mx
import numpy as np

from flash_engine.backend import KVCache, Logits
from flash_engine.checkpoint import Checkpoint, matrix_shapes, vector_shapes
from flash_engine.config import ModelConfig
from flash_engine.errors import CapacityError

TILE = 8
"""Positions of one tile."""

_BLOCK = 256
"""Attention reads the cache up to a multiple of this many positions."""


class MlxCache:
    """int8 keys (rotated) and values with one float32 scale for each token and head.

    For each layer: [keys, values] int8 [kv_heads, rows, head_dim] and their scales [kv_heads, rows, 1].
    """

    def __init__(self, config: ModelConfig, rows: int) -> None:
        heads, dim = config.num_kv_heads, config.head_dim
        self.length = 0
        self.codes = [[mx.zeros((heads, rows, dim), mx.int8) for _ in "kv"] for _ in range(config.num_layers)]
        self.scales = [
            [mx.zeros((heads, rows, 1), mx.float32) for _ in "kv"] for _ in range(config.num_layers)
        ]

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
        """Quantize `rows` [kv_heads, TILE, head_dim] and store those of `tile` at the positions `at`."""
        amax = mx.max(mx.abs(rows.astype(mx.float32)), axis=-1, keepdims=True)
        scales = amax / 127
        codes = mx.round(mx.where(scales > 0, rows / scales, 0)).astype(mx.int8)
        self.codes[layer][part][:, at] = codes[:, tile]
        self.scales[layer][part][:, at] = scales[:, tile]

    def read(self, layer: int, part: int, rows: int, dtype: mx.Dtype) -> mx.array:
        """The first `rows` positions dequantized, [1, kv_heads, rows, head_dim]."""
        codes, scales = self.codes[layer][part][:, :rows], self.scales[layer][part][:, :rows]
        return (codes.astype(mx.float32) * scales).astype(dtype)[None]


class MlxBackend:
    """A llama over mx.quantized_matmul. float16 activations on a GPU, float32 on a CPU, where MLX's 16-bit
    products are 40 times slower."""

    def __init__(self, config: ModelConfig, capacity: int, weights: dict[str, mx.array]) -> None:
        self.config = config
        self.capacity = capacity
        self._weights = weights
        assert config.quantization is not None
        self._group = config.quantization.group_size
        self._dtype = weights["model.norm.weight"].dtype

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None) -> Self:
        """Weights stay int4 as shipped; scales, biases and norms take the activations' type."""
        config = checkpoint.config
        dtype = mx.float16 if mx.default_device().type == mx.DeviceType.gpu else mx.float32
        weights = {name: mx.array(checkpoint.vector(name)).astype(dtype) for name in vector_shapes(config)}
        for name in matrix_shapes(config):
            matrix = checkpoint.quantized(name)
            weights[f"{name}.weight"] = mx.array(matrix.weight)
            weights[f"{name}.scales"] = mx.array(matrix.scales).astype(dtype)
            weights[f"{name}.biases"] = mx.array(matrix.biases).astype(dtype)
        mx.eval(weights)
        return cls(config, capacity, weights)

    @property
    def name(self) -> str:
        return f"mlx {version('mlx')} ({mx.default_device().type.name})"

    def new_cache(self) -> MlxCache:
        return MlxCache(self.config, _round_up(self.capacity, _BLOCK))

    def forward(self, tokens: Sequence[int], cache: KVCache, *, logits: int) -> Logits:
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
        hidden = self._embed(mx.array(padded))
        for layer in range(self.config.num_layers):
            prefix = f"model.layers.{layer}"
            hidden = hidden + self._attention(
                layer, self._norm(f"{prefix}.input_layernorm", hidden), cache, first, rows
            )
            hidden = hidden + self._mlp(
                f"{prefix}.mlp", self._norm(f"{prefix}.post_attention_layernorm", hidden)
            )
        return hidden

    def _attention(self, layer: int, x: mx.array, cache: MlxCache, first: int, rows: slice) -> mx.array:
        config, prefix = self.config, f"model.layers.{layer}.self_attn"

        def heads(name: str) -> mx.array:
            flat = self._linear(f"{prefix}.{name}", x)
            return flat.reshape(TILE, -1, config.head_dim).swapaxes(0, 1)

        def rotated(values: mx.array) -> mx.array:
            return mx.fast.rope(
                values[None],
                config.head_dim,
                traditional=False,
                base=config.rope_theta,
                scale=1 / config.rope_factor,
                offset=first,
            )[0]

        at = slice(first + rows.start, first + rows.stop)
        cache.write(layer, 0, rotated(heads("k_proj")), rows, at)
        cache.write(layer, 1, heads("v_proj"), rows, at)
        length = _round_up(first + TILE, _BLOCK)
        mask = mx.arange(length)[None] <= mx.arange(first, first + TILE)[:, None]
        mixed = mx.fast.scaled_dot_product_attention(
            rotated(heads("q_proj"))[None],
            cache.read(layer, 0, length, self._dtype),
            cache.read(layer, 1, length, self._dtype),
            scale=config.head_dim**-0.5,
            mask=mask,
        )
        return self._linear(f"{prefix}.o_proj", mixed[0].swapaxes(0, 1).reshape(TILE, -1))

    def _mlp(self, prefix: str, x: mx.array) -> mx.array:
        gate, up = self._linear(f"{prefix}.gate_proj", x), self._linear(f"{prefix}.up_proj", x)
        return self._linear(f"{prefix}.down_proj", gate * mx.sigmoid(gate) * up)

    def _norm(self, name: str, x: mx.array) -> mx.array:
        return mx.fast.rms_norm(x, self._weights[f"{name}.weight"], self.config.rms_norm_eps)

    def _head(self, hidden: mx.array) -> mx.array:
        name = "model.embed_tokens" if self.config.tie_embeddings else "lm_head"
        return self._linear(name, self._norm("model.norm", hidden))

    def _linear(self, name: str, x: mx.array) -> mx.array:
        weight, scales, biases = self._matrix(name)
        result = mx.quantized_matmul(x, weight, scales, biases, group_size=self._group, bits=4)
        bias = self._weights.get(f"{name}.bias")
        return result if bias is None else result + bias

    def _embed(self, tokens: mx.array) -> mx.array:
        weight, scales, biases = self._matrix("model.embed_tokens")
        return mx.dequantize(weight[tokens], scales[tokens], biases[tokens], group_size=self._group, bits=4)

    def _matrix(self, name: str) -> tuple[mx.array, mx.array, mx.array]:
        weights = self._weights
        return weights[f"{name}.weight"], weights[f"{name}.scales"], weights[f"{name}.biases"]


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
