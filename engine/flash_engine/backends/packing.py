"""A checkpoint's matrices in the order that the native kernels read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine import _native
from flash_engine.checkpoint import Checkpoint, DenseMatrix, Matrix, QuantizedMatrix, matrix_shapes
from flash_engine.errors import ModelError
from flash_engine.matrices import Quantization, row_slices

_BLOCK = 16
LARGEST_GROUP = 64
_NONE = np.zeros(0, np.float32)


class Packer:
    """Repacks matrices of 4, 8 and 16 bits, one behind the other in memory.

    What is read together has one format, the widest of its parts: 4-bit integers are 8-bit ones as they are, and
    groups are cut to the smallest, at most 64, with their scale and bias repeated. Scales and biases are kept as
    float16, as are weights that are not quantized. Raises ModelError for values beyond float16.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._shapes = matrix_shapes(checkpoint.config)
        self._arena = _native.Arena()

    def stack(self, *names: str) -> _native.Matrix:
        """The rows of the matrices one after the other; all but the last must have whole blocks of 16 rows."""
        return self._pack(names, step=1, largest=LARGEST_GROUP)

    def linear(self, *names: str, group: int = LARGEST_GROUP) -> _native.Linear:
        """`stack` with the matrices' biases, zero where they have none. group: as large as groups may be."""
        return _native.Linear(
            self._pack(names, 1, group), np.concatenate(self._biases(names) or [_NONE]).tolist()
        )

    def linear_in_turn(self, *names: str, group: int = LARGEST_GROUP) -> _native.Linear:
        """16 rows of each matrix in turn, and so their biases. group: as large as groups may be."""
        blocks = [bias.reshape(-1, _BLOCK) for bias in self._biases(names)]
        bias = np.stack(blocks, axis=1).ravel() if blocks else _NONE
        return _native.Linear(self._pack(names, len(names), group), bias.tolist())

    def common_group(self, *names: str) -> int:
        """The group of these matrices, all read from the same activations."""
        found = [self._checkpoint.quantization(name) for name in names]
        return _format(found, self._shapes[names[0]][1], LARGEST_GROUP)[1]

    def _biases(self, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
        """Of each matrix; [] where none has one."""
        if not any(self._checkpoint.has(f"{name}.bias") for name in names):
            return []
        return [
            self._checkpoint.vector(f"{name}.bias")
            if self._checkpoint.has(f"{name}.bias")
            else np.zeros(self._shapes[name][0], np.float32)
            for name in names
        ]

    def _pack(self, names: tuple[str, ...], step: int, largest: int) -> _native.Matrix:
        parts = {name: self._checkpoint.matrix(name) for name in names}
        rows, columns = sum(part.shape[0] for part in parts.values()), parts[names[0]].shape[1]
        bits, group = _format([_quantization(part) for part in parts.values()], columns, largest)
        matrix = _native.Matrix(rows, columns, bits, group, self._arena)
        block = 0
        for name, part in parts.items():
            if bits == 16:
                self._fill_halves(matrix, block, step, name, part)
            else:
                assert isinstance(part, QuantizedMatrix)
                repeat = part.quantization.group_size // group
                scales, biases = (
                    np.repeat(self._halves(name, values), repeat, axis=1)
                    for values in (part.scales, part.biases)
                )
                matrix.fill(block, step, _weight(part, bits), scales, biases)
            block += part.shape[0] // _BLOCK if step == 1 else 1
        return matrix

    def _fill_halves(self, matrix: _native.Matrix, block: int, step: int, name: str, part: Matrix) -> None:
        """A few rows at a time: in whole they would take as much again, or twice."""
        for rows in row_slices(*part.shape):
            some = part.rows(rows)
            values = some.values if isinstance(some, DenseMatrix) else some.dequantize()
            matrix.fill_halves(block + rows.start // _BLOCK * step, step, self._halves(name, values))

    def _halves(self, name: str, values: NDArray[Any]) -> NDArray[np.uint16]:
        with np.errstate(over="ignore"):
            halves = np.require(values, np.float16, ["C", "A"])
        if not np.isfinite(halves).all():
            raise ModelError(
                f"{self._checkpoint.folder}: {name} has values beyond float16, which the native backend cannot "
                "hold: give device mlx or reference"
            )
        return halves.view(np.uint16)


def _format(parts: Sequence[Quantization | None], columns: int, largest: int) -> tuple[int, int]:
    """Bits of a value, and values of a group, at most `largest`, that hold all `parts`; None: not quantized."""
    group = min(
        largest, *(part.group_size for part in parts if part is not None), math.gcd(columns, LARGEST_GROUP)
    )
    return max(16 if part is None else part.bits for part in parts), group


def _quantization(part: Matrix) -> Quantization | None:
    return part.quantization if isinstance(part, QuantizedMatrix) else None


def _weight(part: QuantizedMatrix, bits: int) -> NDArray[np.uint32]:
    """MLX's packing of the integers, in `bits` bits each."""
    packed = part.weight if bits == part.bits else part.codes().view("<u4")
    return np.require(packed, np.uint32, ["C", "A"])
