"""A draft model as backends load it: its matrices in 4 bits, whatever they are stored in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flash_engine.checkpoint import Checkpoint
from flash_engine.matrices import Matrix, Quantization, QuantizedMatrix, quantize, row_slices

_BITS = 4


class DraftCheckpoint(Checkpoint):
    """A Checkpoint whose quantized matrices become 4-bit ones, in the groups that they have.

    A draft costs the bytes that it reads, while a few more drafts that the main model rejects cost little.
    """

    def quantization(self, name: str) -> Quantization | None:
        stored = super().quantization(name)
        return stored and replace(stored, bits=_BITS)

    def matrix(self, name: str) -> Matrix:
        matrix = super().matrix(name)
        if not isinstance(matrix, QuantizedMatrix) or matrix.bits == _BITS:
            return matrix
        wanted = replace(matrix.quantization, bits=_BITS)
        parts = [
            quantize(matrix.rows(part).dequantize().astype(np.float32), wanted)
            for part in row_slices(*matrix.shape)
        ]
        return QuantizedMatrix(
            np.concatenate([part.weight for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.biases for part in parts]),
            _BITS,
        )
