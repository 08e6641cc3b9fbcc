"""The same model in plain MLX operations, one for each step of the mathematics: nothing is fused but int4 products."""

from __future__ import annotations

import mlx.core as mx

from flash_lsp.bench.gpu.measure import Stepping
from flash_lsp.bench.gpu.shapes import EPS, FACTOR, THETA, Shape
from flash_metal.decoder import Layer, Weights
from flash_metal.launches import Matrix


class Plain(Stepping):
    """A 16-bit cache that grows by concatenation."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        self._shape, self._weights = shape, weights
        half = shape.heads.size // 2
        self._frequency = THETA ** (-mx.arange(half) / half) / FACTOR

    def start(self, length: int) -> None:
        shape = (self._shape.heads.kv, length, self._shape.heads.size)
        dtype = self._weights.norm.dtype
        self._length = length
        self._cache = [
            tuple(mx.random.normal(shape).astype(dtype) for _ in range(2)) for _ in self._weights.layers
        ]
        mx.eval(self._cache)

    def step(self, tokens: mx.array) -> mx.array:
        embedding = self._weights.embedding
        weight, scales, biases = (
            part[tokens] for part in (embedding.weight, embedding.scales, embedding.biases)
        )
        x = mx.dequantize(weight, scales, biases, group_size=embedding.group, bits=embedding.bits)
        for number, layer in enumerate(self._weights.layers):
            x = x + self._attention(number, layer, _norm(x, layer.attention_norm))
            gate, up = mx.split(_times(_norm(x, layer.inner_norm), layer.gate_up), 2, axis=-1)
            x = x + _times(gate * mx.sigmoid(gate) * up, layer.down)
        self._length += tokens.size
        logits = _times(_norm(x[-1:], self._weights.norm), self._weights.head)
        return mx.argmax(logits, axis=-1).astype(mx.int32)

    def _attention(self, number: int, layer: Layer, x: mx.array) -> mx.array:
        heads, count = self._shape.heads, x.shape[0]
        qkv = _times(x, layer.qkv).reshape(count, -1, heads.size).swapaxes(0, 1)
        q, k, v = mx.split(qkv, [heads.query, heads.query + heads.kv], axis=0)
        angle = (self._length + mx.arange(count))[:, None] * self._frequency
        q, k = (_rotated(part, mx.cos(angle), mx.sin(angle)).astype(x.dtype) for part in (q, k))
        keys, values = self._cache[number]
        keys, values = mx.concatenate([keys, k], axis=1), mx.concatenate([values, v], axis=1)
        self._cache[number] = keys, values
        repeats = heads.query // heads.kv
        keys, values = mx.repeat(keys, repeats, axis=0), mx.repeat(values, repeats, axis=0)
        scores = (q @ keys.swapaxes(1, 2)).astype(mx.float32) * heads.size**-0.5
        hidden = mx.arange(keys.shape[1]) > self._length + mx.arange(count)[:, None]
        shares = mx.exp(mx.where(hidden, -mx.inf, scores) - mx.max(scores, axis=-1, keepdims=True))
        shares = (shares / mx.sum(shares, axis=-1, keepdims=True)).astype(x.dtype)
        return _times((shares @ values).swapaxes(0, 1).reshape(count, -1), layer.output)


def _norm(x: mx.array, weight: mx.array) -> mx.array:
    wide = x.astype(mx.float32)
    return (wide * mx.rsqrt(mx.mean(wide * wide, axis=-1, keepdims=True) + EPS)).astype(x.dtype) * weight


def _rotated(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    a, b = mx.split(x, 2, axis=-1)
    return mx.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _times(x: mx.array, matrix: Matrix) -> mx.array:
    return mx.quantized_matmul(
        x, matrix.weight, matrix.scales, matrix.biases, group_size=matrix.group, bits=matrix.bits
    )
