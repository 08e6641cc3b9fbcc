"""How each kernel is launched: its shapes, template arguments and grid.

Activations are rows of M = 1 .. 8 tokens (on CUDA, 64) of type T (float16, bfloat16, or float32 in tests); sums are
float32. A token's results are the same bits for every M, since K is always cut in the same way and only `rows`, which
cuts N, may depend on M. Arrays must be whole allocations, not views: eight bytes are loaded at a time. Every template
names the type T of the activations, also where the text doesn't: MLX's CUDA back end tells kernels apart by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from flash_metal.registry import MAX_TOKENS, Registry, Shape

KEY_BLOCK = 32
_SIMD = 32
_THREADGROUP_BYTES = 32768
_COLLECTED = 16


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tunables of a device. `split`, `splits` and `attention_simdgroups` fix the order of sums: one choice for a
    model on a device, never one for a pass."""

    rows: int = 8
    """Rows of a matrix that one SIMD-group makes at a time, for one token; fewer for more tokens."""
    simdgroups: int = 8
    """SIMD-groups of a threadgroup in the products."""
    split: int = 4
    """SIMD-groups that share the K of one block of rows, in launches 3 and 5 and in the head."""
    splits: int = 4
    """Threadgroups that share the keys of one head."""
    attention_simdgroups: int = 4

    def rows_for(self, tokens: int) -> int:
        """Rows a SIMD-group makes at a time: the sums of rows x tokens stay in registers."""
        return max(1, min(self.rows, 32 // (1 << (tokens - 1).bit_length())))


@dataclass(frozen=True, slots=True)
class Matrix:
    """A quantized matrix [n, k] in MLX's affine packing: value = scale * q + bias."""

    weight: mx.array
    """uint32 [n, k * bits / 32], the lowest bits first."""
    scales: mx.array
    """[n, k / group]"""
    biases: mx.array
    """[n, k / group]"""
    bits: int
    group: int
    tiled: bool = False
    """In the order of flash_metal.nvidia.tile, of which `weight` keeps its shape; scales and biases are one array."""

    def __post_init__(self) -> None:
        if self.bits not in (4, 8) or self.group not in (32, 64):
            raise ValueError(f"{self.bits} bits in groups of {self.group}: 4 or 8 bits, groups of 32 or 64")
        n, k = self.shape
        groups = (n, k // self.group * (2 if self.tiled else 1))
        fits = self.scales.shape == groups and self.biases.shape == groups and k % self.group == 0
        if self.weight.dtype != mx.uint32 or not fits:
            raise ValueError(
                f"weight {self.weight.dtype} {self.weight.shape} does not fit scales {self.scales.shape} and biases "
                f"{self.biases.shape}: uint32 [n, k * {self.bits} / 32] and twice [n, k / {self.group}] belong together"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        return self.weight.shape[0], self.weight.shape[1] * 32 // self.bits

    def _template(self) -> list[tuple[str, object]]:
        template = [("S", self.scales.dtype), ("BITS", self.bits), ("GROUP", self.group)]
        return [*template, ("TILED", True)] if self.tiled else template


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of an attention layer: `kv` divides `query`; `size` is 64, 96 or 128."""

    query: int
    kv: int
    size: int

    def __post_init__(self) -> None:
        if self.size not in (64, 96, 128) or self.query % self.kv:
            raise ValueError(f"{self}: size must be 64, 96 or 128, and query a multiple of kv")

    @property
    def row(self) -> int:
        """32-bit words of a cached row of keys or values: its bytes, then its scale."""
        return self.size // 4 + 1

    def _template(self) -> list[tuple[str, object]]:
        return [("H", self.query), ("HK", self.kv), ("D", self.size)]


def splits_fit(splits: int, heads: Heads, tokens: int) -> bool:
    """Whether launch 3 has threadgroup memory for the shares of so many splits."""
    return splits * tokens * heads.query * 4 <= _THREADGROUP_BYTES * 3 // 4


def _tokens(kernels: Registry, x: mx.array) -> int:
    if not 1 <= x.shape[0] <= kernels.max_tokens:
        raise ValueError(f"{x.shape[0]} tokens in a pass: 1 to {kernels.max_tokens}")
    return int(x.shape[0])


def _blocks(n: int, rows: int, what: str) -> int:
    if n % rows:
        raise ValueError(f"{what}: {n} rows are no multiple of the {rows} of a threadgroup")
    return n // rows


def qkv(
    kernels: Registry,
    tiling: Tiling,
    heads: Heads,
    x: mx.array,
    norm: mx.array,
    matrix: Matrix,
    *,
    bias: mx.array | None,
    head_norm: mx.array | None,
    frequency: mx.array,
    position: mx.array,
    eps: mx.array,
) -> tuple[mx.array, mx.array]:
    """Launch 1: the rotated queries, float32 [M, H, D], and the new cache rows, uint32 [2, HK, M, row].

    x [M, K]; norm [K]; matrix [(H + 2 HK) D, K], q's rows, k's, then v's; bias [(H + 2 HK) D]; head_norm [2, D];
    frequency float32 [D / 2], radians a position; position int32 [1], of the first token; eps float32 [1].
    """
    tokens = _tokens(kernels, x)
    rows = math.gcd(tiling.rows_for(tokens), heads.size)
    simdgroups = min(tiling.simdgroups, heads.size // rows)
    total = heads.query + 2 * heads.kv
    q, fresh = kernels["qkv"](
        inputs=[
            x,
            norm,
            matrix.weight,
            matrix.scales,
            matrix.biases,
            norm if bias is None else bias,
            norm if head_norm is None else head_norm,
            frequency,
            position,
            eps,
        ],
        template=[
            ("T", x.dtype),
            *matrix._template(),
            *heads._template(),
            ("M", tokens),
            ("K", matrix.shape[1]),
            ("R", rows),
            ("SG", simdgroups),
            ("BIAS", bias is not None),
            ("HEAD_NORM", head_norm is not None),
        ],
        grid=(_SIMD * total, simdgroups, 1),
        threadgroup=(_SIMD, simdgroups, 1),
        output_shapes=[(tokens, heads.query, heads.size), (2, heads.kv, tokens, heads.row)],
        output_dtypes=[mx.float32, mx.uint32],
    )
    return q, fresh


def attention(
    kernels: Registry,
    tiling: Tiling,
    heads: Heads,
    q: mx.array,
    cache: mx.array,
    fresh: mx.array,
    *,
    layer: mx.array,
    position: mx.array,
    scale: mx.array,
    dtype: mx.Dtype,
) -> tuple[mx.array, mx.array]:
    """Launch 2: the parts of attention, `dtype` [splits, M, H, D], and their (top, sum), float32 [splits, M, H, 2].

    q and fresh from launch 1; cache uint32 [layers, 2, HK, capacity, row], of which positions below `position` are
    read; layer int32 [1]; scale float32 [1]: the model's, times log2(e).
    """
    tokens = _tokens(kernels, q)
    queries = tokens * heads.query // heads.kv
    tile = max(n for n in range(1, MAX_TOKENS + 1) if queries % n == 0)
    simdgroups, splits = tiling.attention_simdgroups, tiling.splits
    y, stats = kernels["attention"](
        inputs=[q, cache, fresh, layer, position, scale],
        template=[
            ("T", dtype),
            *heads._template(),
            ("M", tokens),
            ("Q", tile),
            ("NS", splits),
            ("SG", simdgroups),
        ],
        grid=(_SIMD * heads.kv, simdgroups * splits, queries // tile),
        threadgroup=(_SIMD, simdgroups, 1),
        output_shapes=[(splits, tokens, heads.query, heads.size), (splits, tokens, heads.query, 2)],
        output_dtypes=[dtype, mx.float32],
    )
    return y, stats


def project(
    kernels: Registry,
    tiling: Tiling,
    heads: Heads,
    parts: mx.array,
    stats: mx.array,
    matrix: Matrix,
    residual: mx.array,
) -> mx.array:
    """Launch 3: residual + matrix @ (the attention that parts and stats of launch 2 make), [M, N]."""
    tokens = _tokens(kernels, residual)
    n = matrix.shape[0]
    rows, split = tiling.rows_for(tokens), tiling.split
    blocks = _blocks(n, rows * tiling.simdgroups // split, "output projection")
    splits = parts.shape[0]
    if not splits_fit(splits, heads, min(tokens, MAX_TOKENS)):
        raise ValueError(
            f"{splits} splits of {heads.query} heads do not fit threadgroup memory: use fewer splits"
        )
    (y,) = kernels["project"](
        inputs=[parts, stats, matrix.weight, matrix.scales, matrix.biases, residual],
        template=[
            ("T", residual.dtype),
            *matrix._template(),
            ("H", heads.query),
            ("D", heads.size),
            ("M", tokens),
            ("N", n),
            ("NS", splits),
            ("R", rows),
            ("SG", tiling.simdgroups),
            ("SPLIT", split),
        ],
        grid=(_SIMD * blocks, tiling.simdgroups, 1),
        threadgroup=(_SIMD, tiling.simdgroups, 1),
        output_shapes=[(tokens, n)],
        output_dtypes=[residual.dtype],
    )
    return y


def gate_up(
    kernels: Registry, tiling: Tiling, x: mx.array, norm: mx.array, matrix: Matrix, eps: mx.array
) -> mx.array:
    """Launch 4: silu(gate) * up of the normed x, [M, N]; matrix [2 N, K], gate's rows, then up's."""
    tokens = _tokens(kernels, x)
    n = matrix.shape[0] // 2
    rows = max(1, tiling.rows_for(tokens) // 2)
    blocks = _blocks(n, rows * tiling.simdgroups, "gate and up")
    (y,) = kernels["gate_up"](
        inputs=[x, norm, matrix.weight, matrix.scales, matrix.biases, eps],
        template=[
            ("T", x.dtype),
            *matrix._template(),
            ("M", tokens),
            ("N", n),
            ("K", matrix.shape[1]),
            ("R", rows),
            ("SG", tiling.simdgroups),
        ],
        grid=(_SIMD * blocks, tiling.simdgroups, 1),
        threadgroup=(_SIMD, tiling.simdgroups, 1),
        output_shapes=[(tokens, n)],
        output_dtypes=[x.dtype],
    )
    return y


def down(kernels: Registry, tiling: Tiling, x: mx.array, matrix: Matrix, residual: mx.array) -> mx.array:
    """Launch 5: residual + matrix @ x, [M, N]."""
    return _linear(kernels, tiling, x, matrix, norm=x, eps=x, residual=residual, normed=False)


def head(
    kernels: Registry, tiling: Tiling, x: mx.array, norm: mx.array, matrix: Matrix, eps: mx.array
) -> mx.array:
    """The logits, float32 [M, N]: matrix @ the normed x."""
    return _linear(kernels, tiling, x, matrix, norm=norm, eps=eps, residual=x, normed=True)


def _linear(
    kernels: Registry,
    tiling: Tiling,
    x: mx.array,
    matrix: Matrix,
    *,
    norm: mx.array,
    eps: mx.array,
    residual: mx.array,
    normed: bool,
) -> mx.array:
    tokens = _tokens(kernels, x)
    n = matrix.shape[0]
    rows, split = tiling.rows_for(tokens), tiling.split
    blocks = _blocks(n, rows * tiling.simdgroups // split, "product")
    dtype = mx.float32 if normed else x.dtype
    (y,) = kernels["linear"](
        inputs=[x, matrix.weight, matrix.scales, matrix.biases, norm, eps, residual],
        template=[
            ("T", x.dtype),
            ("Y", dtype),
            *matrix._template(),
            ("M", tokens),
            ("N", n),
            ("K", matrix.shape[1]),
            ("R", rows),
            ("SG", tiling.simdgroups),
            ("SPLIT", split),
            ("NORM", normed),
            ("RESIDUAL", not normed),
        ],
        grid=(_SIMD * blocks, tiling.simdgroups, 1),
        threadgroup=(_SIMD, tiling.simdgroups, 1),
        output_shapes=[(tokens, n)],
        output_dtypes=[dtype],
    )
    return y


def embed(kernels: Registry, tokens: mx.array, matrix: Matrix, dtype: mx.Dtype) -> mx.array:
    """The rows of matrix [vocabulary, K] that tokens, int32 [M], name: `dtype` [M, K]."""
    count, k = _tokens(kernels, tokens), matrix.shape[1]
    (y,) = kernels["embed"](
        inputs=[tokens, matrix.weight, matrix.scales, matrix.biases],
        template=[("T", dtype), *matrix._template(), ("K", k)],
        grid=(-(-k // 8 // _SIMD) * _SIMD, count, 1),
        threadgroup=(_SIMD, 1, 1),
        output_shapes=[(count, k)],
        output_dtypes=[dtype],
    )
    return y


def collect(kernels: Registry, rows: Sequence[mx.array]) -> mx.array:
    """Launch 1's new rows of every layer, [2, HK, M, row] each, as one array [layers, 2, HK, M, row]."""
    shape, size = rows[0].shape, rows[0].size
    y = rows[0]
    for start in range(0, len(rows), _COLLECTED):
        some = list(rows[start : start + _COLLECTED])
        (y,) = kernels["collect"](
            inputs=[y, *some, *[some[-1]] * (_COLLECTED - len(some))],
            template=[("T", y.dtype), ("SIZE", size), ("BEFORE", start), ("COUNT", len(some))],
            grid=(-(-size // _SIMD) * _SIMD, start + len(some), 1),
            threadgroup=(_SIMD, 1, 1),
            output_shapes=[(start + len(some), *shape)],
            output_dtypes=[y.dtype],
        )
    return y


def quantize(kernels: Registry, x: mx.array, *, bits: int, group: int, dtype: mx.Dtype) -> Matrix:
    """x [n, k] quantized on the device, as mx.quantize rounds it; scales and biases of type `dtype`."""
    n, k = x.shape
    if k % group:
        raise ValueError(f"rows of {k} values are no multiple of the group, {group}")
    groups: Shape = (n, k // group)
    threads = -(-n * k // 8 // _SIMD) * _SIMD
    weight, scales, biases = kernels["quantize"](
        inputs=[x],
        template=[("T", x.dtype), ("S", dtype), ("BITS", bits), ("GROUP", group), ("N", n), ("K", k)],
        grid=(threads, 1, 1),
        threadgroup=(_SIMD, 1, 1),
        output_shapes=[(n, k * bits // 32), groups, groups],
        output_dtypes=[mx.uint32, dtype, dtype],
    )
    return Matrix(weight, scales, biases, bits, group)
