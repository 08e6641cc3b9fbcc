"""A llama-family model in fused launches: five a layer, and a few a pass.

A pass of 1 to 8 tokens is one graph: embed, five launches a layer (launches.py), the head, and one launch per 16
layers that collects their new cache rows; one update then places these. Nothing is read back. What a token gets, in
logits and in the cache, is the same bits however the tokens before it were cut into passes.

The update is apart from the pass, because MLX makes it in place only when nothing else holds the cache, and the
launches of a pass hold it until they have run. Place the rows when the pass's results have been read: at once, or in
one graph with the next pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import mlx.core as mx

from flash_metal import launches
from flash_metal.launches import Heads, Matrix, Tiling
from flash_metal.registry import Registry, Tile


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of a layer; vectors are of the activations' type."""

    attention_norm: mx.array
    """[hidden]"""
    qkv: Matrix
    """[(H + 2 HK) D, hidden]: q's rows, k's, v's."""
    output: Matrix
    """[hidden, H D]"""
    inner_norm: mx.array
    """[hidden]"""
    gate_up: Matrix
    """[2 inner, hidden]: gate's rows, up's."""
    down: Matrix
    """[hidden, inner]"""
    qkv_bias: mx.array | None = None
    """[(H + 2 HK) D]"""
    head_norm: mx.array | None = None
    """[2, D]: the RMSNorm of each head of q and of k."""

    def tiled(self, tile: Tile) -> Layer:
        """Its matrices by `tile`: of the registry whose launches take them."""
        return replace(
            self,
            qkv=tile(self.qkv),
            output=tile(self.output),
            gate_up=tile(self.gate_up, pairs=True),
            down=tile(self.down),
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a model; all matrices but the embedding as the registry's `tile` gives them."""

    embedding: Matrix
    """[vocabulary, hidden]"""
    layers: tuple[Layer, ...]
    norm: mx.array
    """[hidden]; its type is the activations'."""
    head: Matrix
    """[vocabulary, hidden]"""


class Decoder:
    """Computes a model with the kernels of `kernels`.

    frequency: float32 [D / 2], RoPE's angles a position, any scaling included. eps: of the norms. The scale of the
    scores is D ** -0.5.
    """

    def __init__(
        self,
        kernels: Registry,
        tiling: Tiling,
        heads: Heads,
        weights: Weights,
        *,
        frequency: mx.array,
        eps: float,
    ) -> None:
        self._kernels, self._tiling, self._heads, self._weights = kernels, tiling, heads, weights
        self._frequency = frequency
        self._eps = kernels.resident(mx.array([eps], dtype=mx.float32))
        self._scale = kernels.resident(mx.array([heads.size**-0.5 * math.log2(math.e)], dtype=mx.float32))
        layers = range(len(weights.layers))
        self._indices = [kernels.resident(mx.array([layer], dtype=mx.int32)) for layer in layers]
        mx.eval(self._eps, self._scale, self._indices)

    def new_cache(self, capacity: int) -> mx.array:
        """A cache for `capacity` positions: uint32 [layers, 2, HK, capacity, row], keys and values, int8."""
        return mx.zeros((len(self._indices), 2, self._heads.kv, capacity, self._heads.row), dtype=mx.uint32)

    def __call__(
        self, tokens: mx.array, cache: mx.array, position: mx.array, *, logits: int
    ) -> tuple[mx.array, mx.array]:
        """One pass: the logits of the last `logits` tokens, float32 [logits, vocabulary], and the new cache rows.

        tokens int32 [1 .. 8]; position int32 [1]: the positions of the cache that are valid, which the tokens follow;
        what lies behind them does not matter.
        """
        weights, dtype = self._weights, self._weights.norm.dtype
        position = self._kernels.resident(position)
        x = launches.embed(self._kernels, tokens, weights.embedding, dtype)
        rows = []
        for layer, index in zip(weights.layers, self._indices, strict=True):
            x, fresh = self._layer(x, layer, index, cache, position)
            rows.append(fresh)
        collected = launches.collect(self._kernels, rows)
        if logits == 0:
            return mx.zeros((0, weights.head.shape[0]), dtype=mx.float32), collected
        y = launches.head(self._kernels, self._tiling, x[-logits:], weights.norm, weights.head, self._eps)
        return y, collected

    def place(self, cache: mx.array, rows: mx.array, position: mx.array) -> tuple[mx.array, mx.array]:
        """The cache with a pass's rows at `position`, and the position of the next pass, int32 [1]: see registry."""
        return self._kernels.place(cache, rows, position)

    def _layer(
        self, x: mx.array, layer: Layer, index: mx.array, cache: mx.array, position: mx.array
    ) -> tuple[mx.array, mx.array]:
        q, fresh = launches.qkv(
            self._kernels,
            self._tiling,
            self._heads,
            x,
            layer.attention_norm,
            layer.qkv,
            bias=layer.qkv_bias,
            head_norm=layer.head_norm,
            frequency=self._frequency,
            position=position,
            eps=self._eps,
        )
        parts, stats = launches.attention(
            self._kernels,
            self._tiling,
            self._heads,
            q,
            cache,
            fresh,
            layer=index,
            position=position,
            scale=self._scale,
            dtype=x.dtype,
        )
        x = launches.project(self._kernels, self._tiling, self._heads, parts, stats, layer.output, x)
        inner = launches.gate_up(self._kernels, self._tiling, x, layer.inner_norm, layer.gate_up, self._eps)
        return launches.down(self._kernels, self._tiling, inner, layer.down, x), fresh
