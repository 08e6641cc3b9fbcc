"""What the launches compute, in float64 numpy: slow, plain, and independent of MLX's own kernels."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from flash_metal.launches import Heads, Matrix

Array = NDArray[np.float64]


def exact(x: mx.array) -> Array:
    """The values of x in float64."""
    return np.array(x.astype(mx.float32), dtype=np.float64)


def dequantize(matrix: Matrix) -> Array:
    """The matrix [n, k]."""
    n, k = matrix.shape
    packed: NDArray[Any] = np.array(matrix.weight)
    fields = packed[..., None] >> np.arange(0, 32, matrix.bits, dtype=np.uint32) & ((1 << matrix.bits) - 1)
    scales, biases = exact(matrix.scales)[..., None], exact(matrix.biases)[..., None]
    values = fields.reshape(n, k // matrix.group, matrix.group) * scales + biases
    return np.asarray(values.reshape(n, k), dtype=np.float64)


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """x over its root mean square (last axis), times weight."""
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight)


def rotate(x: Array, frequency: Array, position: int) -> Array:
    """RoPE of x [M, heads, D]: pair (i, i + D/2) of token m turned by (position + m) * frequency[i]."""
    angle = (position + np.arange(len(x)))[:, None, None] * frequency
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def qkv(
    heads: Heads,
    x: Array,
    norm: Array,
    weight: Array,
    *,
    bias: Array | None,
    head_norm: Array | None,
    frequency: Array,
    position: int,
    eps: float,
) -> tuple[Array, Array, Array]:
    """q [M, H, D], k and v [M, HK, D], before k and v are quantized."""
    y = rms_norm(x, norm, eps) @ weight.T + (0 if bias is None else bias)
    q, k, v = np.split(y.reshape(len(x), -1, heads.size), [heads.query, heads.query + heads.kv], axis=1)
    if head_norm is not None:
        q, k = rms_norm(q, head_norm[0], eps), rms_norm(k, head_norm[1], eps)
    return rotate(q, frequency, position), rotate(k, frequency, position), v


def unpack_rows(rows: mx.array) -> Array:
    """Keys or values of cache rows uint32 [..., D/4 + 1], [..., D]."""
    words: NDArray[np.uint32] = np.array(rows)
    scale = np.ascontiguousarray(words[..., -1:]).view(np.float32).astype(np.float64)
    return np.asarray(np.ascontiguousarray(words[..., :-1]).view(np.int8) * scale)


def attention(q: Array, keys: Array, values: Array, position: int, scale: float) -> Array:
    """[M, H, D]; q [M, H, D]; keys and values [HK, positions, D]; token m sees positions up to position + m."""
    tokens, count, size = q.shape
    grouped = q.reshape(tokens, len(keys), count // len(keys), size)
    scores = np.einsum("mkgd,kld->mkgl", grouped, keys) * scale
    hidden = np.arange(keys.shape[1]) > position + np.arange(tokens)[:, None]
    scores = np.where(hidden[:, None, None], -np.inf, scores)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return np.asarray(np.einsum("mkgl,kld->mkgd", shares, values).reshape(q.shape))


def join(parts: Array, stats: Array) -> Array:
    """The whole of attention, [M, H, D], from the splits' parts and their (top, sum) of launch 2."""
    shares = stats[..., 1] * np.exp2(stats[..., 0] - stats[..., 0].max(0))
    return np.asarray((parts * (shares / shares.sum(0))[..., None]).sum(0))


def gate_up(x: Array, norm: Array, weight: Array, eps: float) -> Array:
    """silu(gate) * up of the normed x; weight [2 N, K], gate's rows first."""
    gate, up = np.split(rms_norm(x, norm, eps) @ weight.T, 2, axis=-1)
    return np.asarray(gate / (1 + np.exp(-gate)) * up)


def round_rows(x: Array) -> Array:
    """x [..., D] as an int8 cache holds it: multiples of its largest magnitude / 127."""
    step = np.abs(x).max(-1, keepdims=True) / 127
    return np.asarray(np.rint(x / np.where(step > 0, step, 1)) * step)
