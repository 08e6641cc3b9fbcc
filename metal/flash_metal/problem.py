"""A random transformer layer, and how far each launch is from float64 on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

from flash_metal import launches, reference
from flash_metal.launches import Heads, Matrix, Tiling
from flash_metal.registry import Registry

_EPS = 1e-5
_HEADS = Heads(6, 2, 64)
_LAYERS = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """The shapes of a layer and of a pass: `tokens` tokens after `position` others."""

    heads: Heads = _HEADS
    hidden: int = 192
    inner: int = 256
    bits: int = 4
    group: int = 64
    dtype: mx.Dtype = mx.float16
    tokens: int = 1
    position: int = 70
    bias: bool = False
    head_norm: bool = False
    tiling: Tiling = field(default_factory=Tiling)
    seed: int = 0

    def _normal(self, *shape: int) -> mx.array:
        key = mx.random.key(self.seed + 7919 * len(shape) + 104729 * sum(shape))
        return mx.random.normal(shape, key=key).astype(self.dtype)

    def matrix(self, n: int, k: int) -> Matrix:
        """A quantized n x k matrix; random integers, so no quantizer is asked."""
        rng = np.random.default_rng(self.seed + n * k)
        weight = rng.integers(0, 1 << 32, (n, k * self.bits // 32), dtype=np.uint32)
        scale = rng.uniform(0.5, 1.5, (n, k // self.group)) * k**-0.5 * 2 / (1 << self.bits)
        bias = -scale * ((1 << self.bits) - 1) / 2 * rng.uniform(0.8, 1.2, scale.shape)
        scales, biases = (mx.array(x.astype(np.float32)).astype(self.dtype) for x in (scale, bias))
        mx.eval(scales, biases)
        return Matrix(mx.array(weight), scales, biases, self.bits, self.group)

    def rows(self, *shape: int) -> mx.array:
        """Random cache rows, uint32 [*shape, D/4 + 1]."""
        rng = np.random.default_rng(self.seed + sum(shape))
        values = rng.integers(-127, 128, (*shape, self.heads.size), dtype=np.int8)
        scale = rng.uniform(0.2, 1.0, (*shape, 1)).astype(np.float32) / 64
        return mx.array(np.concatenate([values.view(np.uint32), scale.view(np.uint32)], -1))

    def x(self) -> mx.array:
        """Activations [tokens, hidden]."""
        return self._normal(self.tokens, self.hidden)

    def norm(self, *shape: int) -> mx.array:
        """A norm's weight, about one."""
        weight = (1 + 0.1 * self._normal(*shape)).astype(self.dtype)
        mx.eval(weight)
        return weight

    def run_qkv(self, kernels: Registry, x: mx.array, position: int) -> tuple[mx.array, mx.array]:
        """Launch 1 on x, rows of which may be a part of self.x()."""
        heads = self.heads
        total = (heads.query + 2 * heads.kv) * heads.size
        return launches.qkv(
            kernels,
            self.tiling,
            heads,
            x,
            self.norm(self.hidden),
            kernels.tile(self.matrix(total, self.hidden)),
            bias=self._normal(total) if self.bias else None,
            head_norm=self.norm(2, heads.size) if self.head_norm else None,
            frequency=self.frequency(),
            position=mx.array([position], dtype=mx.int32),
            eps=mx.array([_EPS]),
        )

    def frequency(self) -> mx.array:
        """RoPE's angles a position, [D / 2]."""
        return mx.array((10000.0 ** (-np.arange(0, self.heads.size, 2) / self.heads.size)).astype(np.float32))

    def qkv_error(self, kernels: Registry) -> float:
        """Largest error of q, k and v relative to the largest value; k and v are off by half a step at most."""
        heads = self.heads
        total = (heads.query + 2 * heads.kv) * heads.size
        q, k, v = reference.qkv(
            heads,
            reference.exact(self.x()),
            reference.exact(self.norm(self.hidden)),
            reference.dequantize(self.matrix(total, self.hidden)),
            bias=reference.exact(self._normal(total)) if self.bias else None,
            head_norm=reference.exact(self.norm(2, heads.size)) if self.head_norm else None,
            frequency=reference.exact(self.frequency()),
            position=self.position,
            eps=_EPS,
        )
        got_q, rows = self.run_qkv(kernels, self.x(), self.position)
        errors = [_relative(reference.exact(got_q), q)]
        for got, want in zip(reference.unpack_rows(rows), (k, v), strict=True):
            want = want.transpose(1, 0, 2)
            half_step = np.abs(want).max(-1, keepdims=True) / 254
            errors.append(float(((np.abs(got - want) - half_step) / np.abs(want).max()).max()))
        return max(errors)

    def run_attention(
        self, kernels: Registry, q: mx.array, cache: mx.array, fresh: mx.array, position: int
    ) -> tuple[mx.array, mx.array]:
        """Launch 2 in the second of the cache's layers."""
        return launches.attention(
            kernels,
            self.tiling,
            self.heads,
            q,
            cache,
            fresh,
            layer=mx.array([_LAYERS - 1], dtype=mx.int32),
            position=mx.array([position], dtype=mx.int32),
            scale=mx.array([self.heads.size**-0.5 * np.log2(np.e)]).astype(mx.float32),
            dtype=self.dtype,
        )

    def queries(self) -> mx.array:
        """float32 [tokens, H, D]"""
        return self._normal(self.tokens, self.heads.query, self.heads.size).astype(mx.float32)

    def cache(self) -> mx.array:
        """A cache of two layers with room for the pass."""
        return self.rows(_LAYERS, 2, self.heads.kv, self.position + self.tokens + 5)

    def attention_error(self, kernels: Registry) -> float:
        """Of the joined parts, relative to the largest value."""
        q, cache, fresh = self.queries(), self.cache(), self.rows(2, self.heads.kv, self.tokens)
        parts, stats = self.run_attention(kernels, q, cache, fresh, self.position)
        old = reference.unpack_rows(cache)[-1][:, :, : self.position]
        keys, values = np.concatenate([old, reference.unpack_rows(fresh)], axis=2)
        want = reference.attention(reference.exact(q), keys, values, self.position, self.heads.size**-0.5)
        return _relative(reference.join(reference.exact(parts), reference.exact(stats)), want)

    def parts(self) -> tuple[mx.array, mx.array]:
        """Splits of attention as launch 2 gives them, some of them empty."""
        splits, tokens, count = self.tiling.splits, self.tokens, self.heads.query
        rng = np.random.default_rng(self.seed)
        stats = np.stack(
            [rng.normal(size=(splits, tokens, count)), rng.uniform(1, 9, (splits, tokens, count))], -1
        )
        stats[1:, 0, 0] = (-1e30, 0)
        return self._normal(splits, tokens, count, self.heads.size), mx.array(stats.astype(np.float32))

    def run_project(
        self, kernels: Registry, parts: mx.array, stats: mx.array, residual: mx.array
    ) -> mx.array:
        """Launch 3."""
        matrix = kernels.tile(self.matrix(self.hidden, self.heads.query * self.heads.size))
        return launches.project(kernels, self.tiling, self.heads, parts, stats, matrix, residual)

    def project_error(self, kernels: Registry) -> float:
        """Relative to the largest value."""
        parts, stats = self.parts()
        joined = reference.join(reference.exact(parts), reference.exact(stats)).reshape(self.tokens, -1)
        weight = reference.dequantize(self.matrix(self.hidden, joined.shape[1]))
        want = reference.exact(self.x()) + joined @ weight.T
        return _relative(reference.exact(self.run_project(kernels, parts, stats, self.x())), want)

    def run_gate_up(self, kernels: Registry, x: mx.array) -> mx.array:
        """Launch 4."""
        matrix = kernels.tile(self.matrix(2 * self.inner, self.hidden), pairs=True)
        return launches.gate_up(kernels, self.tiling, x, self.norm(self.hidden), matrix, mx.array([_EPS]))

    def gate_up_error(self, kernels: Registry) -> float:
        """Relative to the largest value."""
        weight = reference.dequantize(self.matrix(2 * self.inner, self.hidden))
        norm = reference.exact(self.norm(self.hidden))
        want = reference.gate_up(reference.exact(self.x()), norm, weight, _EPS)
        return _relative(reference.exact(self.run_gate_up(kernels, self.x())), want)

    def inner_x(self) -> mx.array:
        """Activations [tokens, inner]."""
        return self._normal(self.tokens, self.inner)

    def run_down(self, kernels: Registry, x: mx.array, residual: mx.array) -> mx.array:
        """Launch 5."""
        matrix = kernels.tile(self.matrix(self.hidden, self.inner))
        return launches.down(kernels, self.tiling, x, matrix, residual)

    def down_error(self, kernels: Registry) -> float:
        """Relative to the largest value."""
        weight = reference.dequantize(self.matrix(self.hidden, self.inner))
        want = reference.exact(self.x()) + reference.exact(self.inner_x()) @ weight.T
        return _relative(reference.exact(self.run_down(kernels, self.inner_x(), self.x())), want)

    def run_head(self, kernels: Registry, x: mx.array) -> mx.array:
        """The logits of a vocabulary as large as `inner`."""
        matrix = kernels.tile(self.matrix(self.inner, self.hidden))
        return launches.head(kernels, self.tiling, x, self.norm(self.hidden), matrix, mx.array([_EPS]))

    def head_error(self, kernels: Registry) -> float:
        """Relative to the largest value."""
        weight = reference.dequantize(self.matrix(self.inner, self.hidden))
        normed = reference.rms_norm(reference.exact(self.x()), reference.exact(self.norm(self.hidden)), _EPS)
        return _relative(reference.exact(self.run_head(kernels, self.x())), normed @ weight.T)

    def embed_error(self, kernels: Registry) -> float:
        """Relative to the largest value."""
        matrix = self.matrix(self.inner, self.hidden)
        tokens = [(97 * m + self.seed) % self.inner for m in range(self.tokens)]
        got = launches.embed(kernels, mx.array(tokens, dtype=mx.int32), matrix, self.dtype)
        return _relative(reference.exact(got), reference.dequantize(matrix)[tokens])

    def collect_error(self, kernels: Registry) -> float:
        """Share of words that are wrong, of 18 layers' rows: one more launch than 16 take."""
        rows = [self.rows(2, self.heads.kv, self.tokens + layer)[:, :, layer:] for layer in range(18)]
        got = launches.collect(kernels, [mx.contiguous(row) for row in rows])
        return float((np.array(got) != np.stack([np.array(row) for row in rows])).mean())

    def quantize_error(self, kernels: Registry) -> float:
        """By how much the error (root of the mean square) of our quantizer exceeds that of MLX's, as a share."""
        x = self._normal(self.inner, self.hidden)
        ours = launches.quantize(kernels, x, bits=self.bits, group=self.group, dtype=self.dtype)
        theirs = Matrix(*mx.quantize(x, group_size=self.group, bits=self.bits), self.bits, self.group)
        lost = [float(((reference.dequantize(m) - reference.exact(x)) ** 2).mean()) for m in (ours, theirs)]
        return max(0.0, math.sqrt(lost[0] / lost[1]) - 1)


ERRORS: dict[str, Callable[[Problem, Registry], float]] = {
    "qkv": Problem.qkv_error,
    "attention": Problem.attention_error,
    "project": Problem.project_error,
    "gate_up": Problem.gate_up_error,
    "down": Problem.down_error,
    "head": Problem.head_error,
    "embed": Problem.embed_error,
    "collect": Problem.collect_error,
    "quantize": Problem.quantize_error,
}

TOLERANCE = {mx.float32: 4e-6, mx.float16: 1.5e-3, mx.bfloat16: 1.2e-2}
"""Largest error allowed, relative to the largest value: about three roundings to the type of the activations."""


def _relative(got: reference.Array, want: reference.Array) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())
