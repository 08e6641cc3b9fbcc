"""Random weights that are in no file, each tensor in the format that a test asks for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, quantize
from flash_engine.rope import Rope
from flash_engine.shapes import matrix_shapes, vector_shapes

Format = Quantization | type[np.floating[Any]]
"""How a matrix is stored: affine integers, or floats of that type."""


def config_of(**special: Any) -> ModelConfig:
    """A tiny llama's shape with what `special` changes."""
    general: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 32,
        "vocab_size": 300,
        "max_positions": 1024,
        "tie_embeddings": True,
        "eos_ids": (0,),
        "norm_eps": 1e-5,
        "rope": Rope(),
    }
    return ModelConfig(**(general | special))


class MadeUpCheckpoint(Checkpoint):
    """`format_of` says how the matrix of a name is stored."""

    def __init__(self, config: ModelConfig, format_of: Callable[[str], Format]) -> None:
        self.folder = Path("made-up")
        self.config = config
        self._format_of = format_of
        self._matrices = matrix_shapes(config)
        self._vectors = vector_shapes(config)

    def has(self, name: str) -> bool:
        return name in self._matrices or name in self._vectors

    def quantization(self, name: str) -> Quantization | None:
        kind = self._format_of(name)
        return kind if isinstance(kind, Quantization) else None

    def vector(self, name: str) -> NDArray[np.float32]:
        center = 0.0 if name.endswith(".bias") else 1.0
        values: NDArray[np.float32] = (center + _normal(name, self._vectors[name], 0.1)).astype(np.float32)
        return values

    def matrix(self, name: str) -> Matrix:
        rows, columns = self._matrices[name]
        values = _normal(name, (rows, columns), columns**-0.5)
        kind = self._format_of(name)
        return quantize(values, kind) if isinstance(kind, Quantization) else DenseMatrix(values.astype(kind))


def _normal(name: str, shape: tuple[int, ...], scale: float) -> NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, scale, shape)
