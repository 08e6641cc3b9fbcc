"""GGUF's blocks as matrices: 4- and 5-bit types and Q8_0 as they are, Q6_K re-quantized to 8 bit.

Layouts: ggml-common.h of https://github.com/ggml-org/ggml. What each type is in affine groups of 32 (value =
scale * code + bias):

    Q4_0, Q4_1   4-bit codes, exact
    Q4_K         4-bit codes; scale and minimum of a group, each a 16-bit number times a 6-bit one, rounded to 16 bit
    Q5_0, Q5_1   8-bit codes (of which 32 are used), exact
    Q5_K         8-bit codes, rounded as Q4_K
    Q8_0         8-bit codes, exact
    Q6_K         its groups have 16 values: 8-bit codes for every 32, rounded to a 255th of their range
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flash_engine.formats.gguf_file import GgufTensor
from flash_engine.matrices import (
    DenseMatrix,
    Matrix,
    Quantization,
    QuantizedMatrix,
    pack,
    quantize,
    row_slices,
    widen,
)

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

GROUP = 32


def quantization_of(kind: str) -> Quantization | None:
    """How a matrix of GGUF's type `kind` is given; None: as it is, in 16 or 32 bit."""
    if kind in ("F32", "F16", "BF16"):
        return None
    return Quantization(4 if kind.startswith("Q4") else 8, GROUP)


def convert(tensor: GgufTensor, rows: NDArray[np.intp] | slice) -> Matrix:
    """The given rows of a tensor as a matrix: memory-mapped if they are a slice of 16- or 32-bit values."""
    kind, columns, data = tensor.type.name, tensor.shape[-1], tensor.data[rows]
    quantization = quantization_of(kind)
    if quantization is None:
        return DenseMatrix(data.view("<u2") if kind == "BF16" else floats(kind, data))
    weight = np.empty((len(data), columns * quantization.bits // 32), np.uint32)
    scales, biases = (np.empty((len(data), columns // GROUP), np.float16) for _ in range(2))
    for part in row_slices(len(data), columns):
        matrix = _affine(kind, data[part], quantization)
        weight[part], scales[part], biases[part] = matrix.weight, matrix.scales, matrix.biases
    return QuantizedMatrix(weight, scales, biases, quantization.bits)


def _affine(kind: str, data: Bytes, quantization: Quantization) -> QuantizedMatrix:
    if kind == "Q6_K":
        return quantize(_q6_k(data), quantization)
    codes, scales, biases = _UNPACK[kind](data)
    shape = (len(data), -1)
    return QuantizedMatrix(
        pack(codes.reshape(shape), quantization.bits),
        scales.reshape(shape).astype(np.float16),
        biases.reshape(shape).astype(np.float16),
        quantization.bits,
    )


def floats(kind: str, data: Bytes) -> NDArray[np.float16] | Floats:
    """Rows of raw blocks, uint8 [rows, bytes], as the numbers they stand for: float16 for F16, else float32."""
    match kind:
        case "F32":
            return data.view("<f4")
        case "F16":
            return data.view("<f2")
        case "BF16":
            return widen(data.view("<u2"))
        case "Q6_K":
            return _q6_k(data)
    codes, scales, biases = _UNPACK[kind](data)
    values: Floats = (
        codes.astype(np.float32).reshape(*scales.shape, -1) * scales[..., None] + biases[..., None]
    )
    return values.reshape(len(data), -1)


def loss(tensor: GgufTensor) -> float:
    """Root mean square of what `convert` changes, in parts of the tensor's own root mean square."""
    changed = total = 0.0
    for rows in row_slices(len(tensor.data), tensor.shape[-1]):
        exact = floats(tensor.type.name, tensor.data[rows]).astype(np.float64)
        changed += float(np.square(convert(tensor, rows).dequantize() - exact).sum())
        total += float(np.square(exact).sum())
    return float(np.sqrt(changed / total)) if total else 0.0


def _half(data: Bytes, at: int) -> Floats:
    """The float16 at byte `at` of each block, [..., 1]."""
    values: Floats = np.ascontiguousarray(data[..., at : at + 2]).view("<f2").astype(np.float32)
    return values


def _blocks(data: Bytes, size: int) -> Bytes:
    return data.reshape(-1, size)


def _nibbles(data: Bytes) -> Bytes:
    """Codes of 4 bits: all low halves of the bytes, then all high ones."""
    return np.concatenate((data & np.uint8(15), data >> np.uint8(4)), axis=-1)


def _fifth_bits(data: Bytes) -> Bytes:
    """16 for each of 32 set bits in four bytes, the lowest first."""
    return np.unpackbits(data, axis=-1, bitorder="little") << np.uint8(4)


def _q4_0(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 18)
    scale = _half(blocks, 0)
    return _nibbles(blocks[:, 2:]), scale, -8 * scale


def _q4_1(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 20)
    return _nibbles(blocks[:, 4:]), _half(blocks, 0), _half(blocks, 2)


def _q5_0(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 22)
    scale = _half(blocks, 0)
    return _nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6]), scale, -16 * scale


def _q5_1(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 24)
    codes = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8])
    return codes, _half(blocks, 0), _half(blocks, 2)


def _q8_0(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 34)
    scale = _half(blocks, 0)
    return blocks[:, 2:] ^ np.uint8(128), scale, -128 * scale


def _group_scales(blocks: Bytes) -> tuple[Floats, Floats]:
    """Scales and biases [blocks, 8] of K-quants of 4 and 5 bit: 12 bytes hold eight scales and minima of 6 bits."""
    packed = blocks[:, 4:16]
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate((low & 63, (high & 15) | (low >> 6 << 4)), axis=1)
    minima = np.concatenate((middle & 63, (high >> 4) | (middle >> 6 << 4)), axis=1)
    return _half(blocks, 0) * scales, -_half(blocks, 2) * minima


def _pairs_of_groups(data: Bytes) -> Bytes:
    """Codes [blocks, 8, 32] of 4 bits: 32 bytes hold two groups."""
    chunks = data.reshape(-1, 4, 1, 32)
    return np.concatenate((chunks & np.uint8(15), chunks >> np.uint8(4)), axis=2).reshape(-1, 8, 32)


def _q4_k(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 144)
    return _pairs_of_groups(blocks[:, 16:]), *_group_scales(blocks)


def _q5_k(data: Bytes) -> tuple[Bytes, Floats, Floats]:
    blocks = _blocks(data, 176)
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (blocks[:, None, 16:48] >> shifts & np.uint8(1)) << np.uint8(4)
    return _pairs_of_groups(blocks[:, 48:]) | fifth, *_group_scales(blocks)


def _q6_k(data: Bytes) -> Floats:
    blocks = _blocks(data, 210)
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate((low & 15, low >> 4), axis=2).reshape(-1, 2, 4, 32)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3) << 4
    codes = (low | high).astype(np.float32).reshape(-1, 16, 16) - 32
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32) * _half(blocks, 208)
    values: Floats = codes * scales[..., None]
    return values.reshape(len(data), -1)


_UNPACK: dict[str, Callable[[Bytes], tuple[Bytes, Floats, Floats]]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q5_K": _q5_k,
    "Q8_0": _q8_0,
}
"""Rows of blocks -> codes [groups, 32] (or [blocks, groups, 32]), scales and biases, one for each group."""
