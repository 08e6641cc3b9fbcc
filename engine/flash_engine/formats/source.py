"""What every file format gives: a model's description and its tensors, under Hugging Face's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from flash_engine.fields import Fields
from flash_engine.formats.changes import Changes
from flash_engine.matrices import Matrix, Quantization


class Source(Protocol):
    """A matrix is named by its module (`model.layers.0.mlp.up_proj`), any other tensor in full (`model.norm.weight`).

    All methods raise ModelError that names the file and the tensor.
    """

    fields: Fields
    """As config.json has them."""
    changes: Changes
    """What reading has changed in the matrices so far."""

    def has(self, name: str) -> bool: ...

    def file(self, name: str) -> Path:
        """The file that holds the tensor; for a tensor that is missing, the one that should."""
        ...

    def check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        """Make sure, without reading it, that the matrix is there with shape (n, k) in a type that is known."""
        ...

    def check_vector(self, name: str, shape: tuple[int]) -> None: ...

    def check_complete(self, names: set[str]) -> None:
        """Make sure that the model with these matrices, and no others, is the one that was stored."""
        ...

    def quantization(self, name: str) -> Quantization | None:
        """How the matrix will be given; None: not quantized. Reads no data."""
        ...

    def matrix(self, name: str) -> Matrix:
        """Memory-mapped where the format allows it."""
        ...

    def vector(self, name: str) -> NDArray[Any]:
        """A floating-point tensor of one dimension."""
        ...
