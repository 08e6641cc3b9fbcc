"""Weight matrices as backends get them: 4- or 8-bit affine in MLX's packing, or 16 and 32 bit as stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Factor = float | NDArray[np.float64]
Scales = NDArray[np.float16] | NDArray[np.float32]


SLICE_VALUES = 1 << 20
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

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes + self.scales.nbytes + self.biases.nbytes

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

    values: NDArray[np.float16] | NDArray[np.float32]
    """[n, k]; bfloat16 is widened to float32."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        rows, columns = self.values.shape
        return rows, columns

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def dequantize(self) -> NDArray[np.float64]:
        """The matrix in float64, [n, k], exact."""
        return self.values.astype(np.float64)

    def scaled(self, factor: Factor) -> DenseMatrix:
        """The matrix times `factor`, one for all or one for each row, in float32."""
        return DenseMatrix(self.values.astype(np.float32) * np.asarray(factor, np.float32).reshape(-1, 1))

    def rows(self, order: NDArray[np.intp] | slice) -> DenseMatrix:
        """The rows that `order` selects."""
        return DenseMatrix(self.values[order])


Matrix = QuantizedMatrix | DenseMatrix


def quantize(values: NDArray[Any], quantization: Quantization) -> QuantizedMatrix:
    """`values` [n, k] in affine integers with float16 scales: each group's range is cut into equal steps.

    k must be a multiple of the group. The codes are chosen for the scales as rounded to float16. Needs little memory
    besides the result.
    """
    rows, columns = values.shape
    weight = np.empty((rows, columns * quantization.bits // 32), np.uint32)
    scales, biases = (np.empty((rows, columns // quantization.group_size), np.float16) for _ in range(2))
    step = max(1, SLICE_VALUES // columns)
    for first in range(0, rows, step):
        part = slice(first, first + step)
        weight[part], scales[part], biases[part] = _quantized(values[part], quantization)
    return QuantizedMatrix(weight, scales, biases, quantization.bits)


def _quantized(
    values: NDArray[Any], quantization: Quantization
) -> tuple[NDArray[np.uint32], NDArray[np.float16], NDArray[np.float16]]:
    """Weight, scales and biases of a QuantizedMatrix."""
    groups = values.astype(np.float32).reshape(len(values), -1, quantization.group_size)
    low, high = groups.min(-1), groups.max(-1)
    top = 2**quantization.bits - 1
    scales, biases = ((high - low) / top).astype(np.float16), low.astype(np.float16)
    steps = np.where(scales > 0, scales, 1).astype(np.float32)[..., None]
    codes = np.clip(np.rint((groups - biases[..., None].astype(np.float32)) / steps), 0, top)
    return pack(codes.astype(np.uint8).reshape(values.shape), quantization.bits), scales, biases


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint32]:
    """[n, k] integers below 2 ** bits -> uint32 [n, k * bits / 32], the first value lowest."""
    data = codes if bits == 8 else codes[:, ::2] | codes[:, 1::2] << 4
    return np.ascontiguousarray(data).view("<u4").astype(np.uint32, copy=False)
