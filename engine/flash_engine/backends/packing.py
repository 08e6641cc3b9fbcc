"""A checkpoint's matrices in the order that the native kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine import _native
from flash_engine.checkpoint import Checkpoint, DenseMatrix, Matrix, QuantizedMatrix, matrix_shapes
from flash_engine.errors import ModelError
from flash_engine.matrices import row_slices

_BLOCK = 16
_LARGEST_GROUP = 64


class Packer:
    """Repacks matrices of 4, 8 and 16 bits, one behind the other in memory.

    What is read together has one format, the widest of its parts: 4-bit integers are 8-bit ones as they are, and
    groups are cut to the smallest, at most 64, with their scale and bias repeated. Scales and biases are kept as
    float16, as are weights that are not quantized. Raises ModelError for values beyond float16.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._rows = {name: rows for name, (rows, _) in matrix_shapes(checkpoint.config).items()}
        self._arena = _native.Arena()

    def stack(self, *names: str) -> _native.Matrix:
        """The rows of the matrices one after the other; all but the last must have whole blocks of 16 rows."""
        return self._pack(names, step=1)

    def linear(self, *names: str) -> _native.Linear:
        """`stack` with the matrices' biases, zero where they have none."""
        return _native.Linear(self.stack(*names), np.concatenate(self._biases(names)).tolist())

    def linear_in_turn(self, *names: str) -> _native.Linear:
        """16 rows of each matrix in turn, and so their biases."""
        blocks = np.stack([bias.reshape(-1, _BLOCK) for bias in self._biases(names)], axis=1)
        return _native.Linear(self._pack(names, step=len(names)), blocks.ravel().tolist())

    def _biases(self, names: tuple[str, ...]) -> list[NDArray[np.float32]]:
        return [
            self._checkpoint.vector(f"{name}.bias")
            if self._checkpoint.has(f"{name}.bias")
            else np.zeros(self._rows[name], np.float32)
            for name in names
        ]

    def _pack(self, names: tuple[str, ...], step: int) -> _native.Matrix:
        parts = {name: self._checkpoint.matrix(name) for name in names}
        bits, group = _format(list(parts.values()))
        rows, columns = sum(part.shape[0] for part in parts.values()), parts[names[0]].shape[1]
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


def _format(parts: list[Matrix]) -> tuple[int, int]:
    """Bits of a value, and values of a group, that hold all `parts`."""
    if any(isinstance(part, DenseMatrix) for part in parts):
        columns = parts[0].shape[1]
        return 16, _LARGEST_GROUP if columns % _LARGEST_GROUP == 0 else _LARGEST_GROUP // 2
    found = [part.quantization for part in parts if isinstance(part, QuantizedMatrix)]
    return max(each.bits for each in found), min(_LARGEST_GROUP, *(each.group_size for each in found))


def _weight(part: QuantizedMatrix, bits: int) -> NDArray[np.uint32]:
    """MLX's packing of the integers, in `bits` bits each."""
    packed = part.weight if bits == part.bits else part.codes().view("<u4")
    return np.require(packed, np.uint32, ["C", "A"])
