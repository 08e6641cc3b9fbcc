"""16- and 32-bit weights quantized as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from flash_engine.fields import Fields
from flash_engine.formats.changes import SAMPLE_ROWS
from flash_engine.formats.source import Source
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, quantize
from flash_engine.shapes import ROUTER


class QuantizingSource:
    """A Source whose 16- and 32-bit matrices are quantized; the others stay as they are.

    A matrix whose columns are no multiple of the group gets a smaller one, or else stays, too.
    """

    def __init__(self, base: Source, quantization: Quantization) -> None:
        self.fields: Fields = base.fields
        self.changes = base.changes
        self._base = base
        groups = [size for size in (128, 64, 32) if size <= quantization.group_size]
        self._choices = [Quantization(quantization.bits, size) for size in groups]
        self._columns: dict[str, int] = {}

    def has(self, name: str) -> bool:
        return self._base.has(name)

    def file(self, name: str) -> Path:
        return self._base.file(name)

    def check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        self._base.check_matrix(name, shape)
        self._columns[name] = shape[1]

    def check_vector(self, name: str, shape: tuple[int]) -> None:
        self._base.check_vector(name, shape)

    def check_complete(self, names: set[str]) -> None:
        self._base.check_complete(names)

    def quantization(self, name: str) -> Quantization | None:
        stored = self._base.quantization(name)
        if stored is not None or name.endswith(ROUTER):
            return stored
        return next((each for each in self._choices if self._columns[name] % each.group_size == 0), None)

    def matrix(self, name: str) -> Matrix:
        matrix, wanted = self._base.matrix(name), self.quantization(name)
        if isinstance(matrix, DenseMatrix) and wanted is not None:
            sample = matrix.rows(slice(SAMPLE_ROWS)).values
            self.changes.add("unquantized", wanted.bits, sample, quantize(sample, wanted))
            return quantize(matrix, wanted)
        return matrix

    def vector(self, name: str) -> NDArray[Any]:
        return self._base.vector(name)
