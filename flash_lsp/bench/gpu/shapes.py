"""Models with random int4 weights: speed does not depend on the values, only on the shapes."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from flash_metal import tilings
from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import Heads, Matrix, Tiling
from flash_metal.registry import Registry, Tile, as_given
from flash_metal.tilings import Sizes

GROUP = 64
EPS = 1e-6
VOCABULARY = 32256
THETA, FACTOR = 100_000.0, 4.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a llama-family model."""

    hidden: int
    layers: int
    inner: int
    heads: Heads
    vocabulary: int = VOCABULARY

    @property
    def weight_bytes(self) -> int:
        """Bytes of the matrices that a token reads: 4 bits a weight, 16 + 16 a group of 64; no embedding."""
        heads = self.heads
        layer = self.hidden * heads.size * (2 * heads.query + 2 * heads.kv) + 3 * self.hidden * self.inner
        return (self.layers * layer + self.hidden * self.vocabulary) * (4 * GROUP + 32) // (8 * GROUP)

    @property
    def token_bytes(self) -> int:
        """Bytes of a position in the int8 cache."""
        return self.layers * 2 * self.heads.kv * self.heads.row * 4


SHAPES = {
    "deepseek-coder-6.7b": Shape(4096, 32, 11008, Heads(32, 32, 128)),
    "deepseek-coder-1.3b": Shape(2048, 24, 5504, Heads(16, 16, 128)),
}


def matrix(n: int, k: int, dtype: mx.Dtype) -> Matrix:
    """Random integers, scaled so that a product keeps the variance of its input."""
    low, high = (mx.random.randint(0, 1 << 16, (n, k // 8), mx.uint32) for _ in range(2))
    scales = (mx.random.uniform(0.9, 1.1, (n, k // GROUP)) / (21.25 * k) ** 0.5).astype(dtype)
    made = Matrix(low | high << 16, scales, (scales.astype(mx.float32) * -7.5).astype(dtype), 4, GROUP)
    mx.eval(made.weight, made.scales, made.biases)
    return made


def weights(shape: Shape, dtype: mx.Dtype, tile: Tile = as_given) -> Weights:
    """Random weights of `shape`; norms are ones. tile: of the registry."""
    heads, hidden = shape.heads, shape.hidden
    norm = mx.ones((hidden,), dtype=dtype)
    layers = tuple(
        Layer(
            attention_norm=norm,
            qkv=matrix((heads.query + 2 * heads.kv) * heads.size, hidden, dtype),
            output=matrix(hidden, heads.query * heads.size, dtype),
            inner_norm=norm,
            gate_up=matrix(2 * shape.inner, hidden, dtype),
            down=matrix(hidden, shape.inner, dtype),
        ).tiled(tile)
        for _ in range(shape.layers)
    )
    embedding, head = (matrix(shape.vocabulary, hidden, dtype) for _ in range(2))
    return Weights(embedding, layers, norm, tile(head))


def decoder(kernels: Registry, tiling: Tiling, shape: Shape, made: Weights) -> Decoder:
    """The fused decoder of `made`."""
    half = shape.heads.size // 2
    frequency = (THETA ** (-np.arange(half) / half) / FACTOR).astype(np.float32)
    on_device = mx.array(frequency) + mx.zeros((1,))  # what numpy gave lies in the host's memory on CUDA
    mx.eval(on_device)
    return Decoder(kernels, tiling, shape.heads, made, frequency=on_device, eps=EPS)


def tiling(shape: Shape) -> Tiling:
    """As the engine chooses it on this device."""
    sizes = Sizes(shape.heads, shape.hidden, shape.inner, shape.vocabulary, shape.layers)
    return tilings.default(mx.device_info(), sizes)


def random_rows(shape: Shape, capacity: int) -> mx.array:
    """A full cache of random int8 keys and values."""
    heads = shape.heads
    size = (shape.layers, 2, heads.kv, capacity, heads.size // 4)
    words = mx.random.randint(0, 1 << 16, size, mx.uint32) * 65537
    scale = mx.full((*size[:-1], 1), 1 / 64, dtype=mx.float32).view(mx.uint32)
    cache = mx.concatenate([words, scale], axis=-1)
    mx.eval(cache)
    mx.clear_cache()
    return cache
