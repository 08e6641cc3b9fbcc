"""Weight matrices as backends get them: 4- or 8-bit affine in MLX's packing, or 16 and 32 bit as stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Factor = float | NDArray[np.float64]
Scales = NDArray[np.float16] | NDArray[np.float32]


SLICE_VALUES = 1 << 18
"""Values that are converted at once: what a conversion takes besides its result is a few times this."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: value = scale * q + bias, one scale and bias for `group_size` values along k."""

    bits: int
    group_size: int


SUPPORTED = tuple(Quantization(bits, group) for bits in (4, 8) for group in (32, 64, 128))


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """An n x k matrix of 4- or 8-bit values: scale * q + bias, one scale and bias for each group along k."""

    weight: NDArray[np.uint32]
    """[n, k * bits / 32]; the lowest bits are the first value."""
    scales: Scales
    """[n, k / group]"""
    biases: Scales
    """[n, k / group], of the scales' type"""
    bits: int = 4

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        return len(self.weight), self.weight.shape[1] * 32 // self.bits

    @property
    def quantization(self) -> Quantization:
        return Quantization(self.bits, self.shape[1] // self.scales.shape[1])

    def codes(self) -> NDArray[np.uint8]:
        """The integers, [n, k]."""
        data = np.ascontiguousarray(self.weight).astype("<u4", copy=False).view(np.uint8)
        if self.bits == 8:
            return data
        return np.stack((data & 15, data >> 4), axis=-1).reshape(self.shape)

    def dequantize(self) -> NDArray[np.float64]:
        """The matrix in float64, [n, k], exact."""
        groups = self.codes().reshape(*self.scales.shape, -1)
        scales, biases = (part[..., None].astype(np.float64) for part in (self.scales, self.biases))
        values: NDArray[np.float64] = groups * scales + biases
        return values.reshape(self.shape)

    def scaled(self, factor: Factor) -> QuantizedMatrix:
        """The matrix times `factor`, one for all or one for each row; scales and biases become float32."""
        column = np.asarray(factor, np.float32).reshape(-1, 1)
        scales, biases = (part.astype(np.float32) * column for part in (self.scales, self.biases))
        return replace(self, scales=scales, biases=biases)

    def rows(self, order: NDArray[np.intp] | slice) -> QuantizedMatrix:
        """The rows that `order` selects."""
        return replace(self, weight=self.weight[order], scales=self.scales[order], biases=self.biases[order])


@dataclass(frozen=True, slots=True)
class DenseMatrix:
    """An n x k matrix of floating-point values."""

    stored: NDArray[np.float16] | NDArray[np.float32] | NDArray[np.uint16]
    """[n, k]; uint16: the bits of bfloat16, which numpy lacks."""

    @property
    def values(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """[n, k]; bfloat16 is widened to float32, the whole at once: see `slices`."""
        return widen(self.stored)

    def slices(self) -> Iterator[tuple[slice, NDArray[np.float16] | NDArray[np.float32]]]:
        """The values of a few rows at a time, in order, and which rows they are."""
        rows, columns = self.shape
        for part in row_slices(rows, columns):
            yield part, widen(self.stored[part])

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        rows, columns = self.stored.shape
        return rows, columns

    def dequantize(self) -> NDArray[np.float64]:
        """The matrix in float64, [n, k], exact."""
        return self.values.astype(np.float64)

    def scaled(self, factor: Factor) -> DenseMatrix:
        """The matrix times `factor`, one for all or one for each row, in float32."""
        return DenseMatrix(self.values.astype(np.float32) * np.asarray(factor, np.float32).reshape(-1, 1))

    def rows(self, order: NDArray[np.intp] | slice) -> DenseMatrix:
        """The rows that `order` selects."""
        return DenseMatrix(self.stored[order])


Matrix = QuantizedMatrix | DenseMatrix


def widen(stored: NDArray[Any]) -> NDArray[Any]:
    """Floating-point numbers as they are; uint16 as bfloat16's bits, in float32."""
    return (stored.astype(np.uint32) << 16).view(np.float32) if stored.dtype == np.uint16 else stored


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """`rows` in parts of about SLICE_VALUES values, each but the last a multiple of 16 rows."""
    step = max(16, SLICE_VALUES // columns // 16 * 16)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def quantize(
    values: NDArray[Any] | DenseMatrix, quantization: Quantization, importance: NDArray[Any] | None = None
) -> QuantizedMatrix:
    """`values` [n, k] in affine integers with float16 scales: each group's range is cut into equal steps.

    k must be a multiple of the group. The codes are chosen for the scales as rounded to float16. importance: a weight
    of each column [k]; then a group's range may be narrower than its values, where that makes the weighted sum of
    squared errors smaller. Needs little memory besides the result.
    """
    dense = values if isinstance(values, DenseMatrix) else DenseMatrix(values)
    rows, columns = dense.shape
    weight = np.empty((rows, columns * quantization.bits // 32), np.uint32)
    scales, biases = (np.empty((rows, columns // quantization.group_size), np.float16) for _ in range(2))
    for part, some in dense.slices():
        groups = some.astype(np.float32).reshape(len(some), -1, quantization.group_size)
        found = _rounded(groups, quantization.bits, 1.0)
        if importance is not None:
            found = _narrowed(groups, quantization.bits, importance.reshape(groups.shape[1:]), found)
        codes, scales[part], biases[part] = found
        weight[part] = pack(codes.reshape(some.shape), quantization.bits)
    return QuantizedMatrix(weight, scales, biases, quantization.bits)


Groups = tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float16]]
"""Codes [n, groups, group], scales and biases [n, groups]."""

NARROWER = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Parts of a group's range that are tried."""


def _rounded(groups: NDArray[np.float32], bits: int, share: float) -> Groups:
    """In steps of `share` of each group's range, around its middle."""
    low, high = groups.min(-1), groups.max(-1)
    cut = (high - low) * np.float32((1 - share) / 2)
    top = 2**bits - 1
    scales, biases = ((high - low - 2 * cut) / top).astype(np.float16), (low + cut).astype(np.float16)
    steps = np.where(scales > 0, scales, 1).astype(np.float32)[..., None]
    codes = np.clip(np.rint((groups - biases[..., None].astype(np.float32)) / steps), 0, top)
    return codes.astype(np.uint8), scales, biases


def _narrowed(groups: NDArray[np.float32], bits: int, importance: NDArray[Any], whole: Groups) -> Groups:
    """Each group in the range with the smallest error, weighted by `importance` [groups, group]."""

    def error(found: Groups) -> NDArray[np.float32]:
        codes, scales, biases = (part.astype(np.float32) for part in found)
        off = groups - (codes * scales[..., None] + biases[..., None])
        weighted: NDArray[np.float32] = (np.square(off) * importance).sum(-1)
        return weighted

    best, least = whole, error(whole)
    for share in NARROWER:
        found = _rounded(groups, bits, share)
        lost = error(found)
        better = lost < least
        least = np.minimum(least, lost)
        best = (
            np.where(better[..., None], found[0], best[0]),
            np.where(better, found[1], best[1]),
            np.where(better, found[2], best[2]),
        )
    return best


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """[n, k] integers below 2 ** bits -> uint32 [n, k * bits / 32], the first value lowest."""
    data = codes if bits == 8 else codes[:, ::2] | codes[:, 1::2] << 4
    return np.ascontiguousarray(data).view("<u4").astype(np.uint32, copy=False)
