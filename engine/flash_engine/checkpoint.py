"""A model on disk as backends load it, whatever its file format and architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine import architectures
from flash_engine.balance import channel_sizes, key_factors
from flash_engine.config import LatentAttention
from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN
from flash_engine.formats import open_source
from flash_engine.formats.changes import Changes
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, QuantizedMatrix
from flash_engine.shapes import matrix_shapes, vector_shapes

__all__ = ["Checkpoint", "DenseMatrix", "Matrix", "QuantizedMatrix", "matrix_shapes", "vector_shapes"]


class Checkpoint:
    """A model's config and tensors. Raises ModelError that names the file and the tensor at fault.

    On opening, names, types and shapes are checked; data are read (memory-mapped) when asked for. Tensors have
    canonical names (flash_engine.shapes) and contain their architecture's constants, so that a model is what its
    ModelConfig says and no more.
    """

    def __init__(self, folder: Path, *, quantize: Quantization | None = None) -> None:
        """`folder`: a model's folder, a GGUF file, or a LoRA adapter's folder. `quantize`: what 16- and 32-bit matrices
        become as they are read (None: they stay as they are)."""
        self.folder = folder
        self._source = open_source(folder, quantize)
        self._architecture = architectures.of(self._source.fields)
        self.config = self._architecture.config(self._source.fields)
        self.folding = self._architecture.folding(self._source.fields)
        """The architecture's constants that the tensors contain as they are handed out."""
        self._factors: dict[str, NDArray[np.float64]] = {}
        self._report: Callable[[float], None] = lambda share: None
        self._unread: dict[str, int] = {}
        self._total = 0
        for name, shape in matrix_shapes(self.config).items():
            self._source.check_matrix(self._stored(name), shape)
        for name, size in vector_shapes(self.config).items():
            self._source.check_vector(self._stored(name), size)
        self._source.check_complete({self._stored(name) for name in matrix_shapes(self.config)})

    def has(self, name: str) -> bool:
        """Whether there is a matrix (`model.layers.0.mlp.up_proj`) or vector (`model.norm.weight`) of that name."""
        return self._source.has(self._stored(name))

    @property
    def changes(self) -> Changes:
        """What reading has changed in the matrices so far."""
        return self._source.changes

    def watch(self, report: Callable[[float], None]) -> None:
        """Call `report` with the share of the weights that have been asked for, 0 to 1, at each matrix from now on."""
        self._report = report
        self._unread = {name: rows * columns for name, (rows, columns) in matrix_shapes(self.config).items()}
        self._total = sum(self._unread.values())

    def quantization(self, name: str) -> Quantization | None:
        """How the matrix `name` will be given, without reading it; None: in 16 or 32 bit."""
        return self._source.quantization(self._stored(name))

    def vector(self, name: str) -> NDArray[np.float32]:
        """The one-dimensional tensor `name` (a norm's weight, a bias) in float32, checked to be finite."""
        values = self._source.vector(self._stored(name)).astype(np.float32)
        self._check_finite(name, values)
        return self._folded_vector(name, values)

    def matrix(self, name: str) -> Matrix:
        """The matrix `name` (`model.layers.0.mlp.up_proj`); floating-point parts are checked to be finite."""
        if self._unread.pop(name, None):
            self._report(1 - sum(self._unread.values()) / self._total)
        matrix = self._source.matrix(self._stored(name))
        if isinstance(matrix, DenseMatrix):
            for _, some in matrix.slices():
                self._check_finite(f"{name}.weight", some)
        else:
            self._check_finite(f"{name}.scales", matrix.scales)
            self._check_finite(f"{name}.biases", matrix.biases)
        order = self._row_order(name)
        if order is not None:
            matrix = matrix.rows(order)
        balance = self._balance(name)
        if balance is not None:
            matrix = matrix.scaled(balance)
        if self.folding.residual != 1 and name.endswith((".o_proj", ".down_proj")):
            matrix = matrix.scaled(self.folding.residual)
        return matrix

    @property
    def description(self) -> dict[str, Any]:
        """The fields of config.json, whatever file they were read from."""
        return self._source.fields.raw

    def stored_name(self, name: str) -> str:
        """What the files call the tensor `name`."""
        return self._stored(name)

    def stored_matrix(self, name: str) -> Matrix:
        """The matrix `name` as the files have it: without the architecture's constants, in their order of rows."""
        return self._source.matrix(self._stored(name))

    def stored_vector(self, name: str) -> NDArray[Any]:
        """The one-dimensional tensor `name` as the files have it."""
        return self._source.vector(self._stored(name))

    def _stored(self, name: str) -> str:
        return self._architecture.stored_name(name)

    def _folded_vector(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        module, _, part = name.rpartition(".")
        order = self._row_order(module)
        if order is not None:
            values = values[order]
        balance = self._balance(module) if part == "bias" else None
        if balance is not None:
            values = values * balance.astype(np.float32)
        if part == "weight":
            values = values + np.float32(self.folding.norm_offset)
        if module == "model.norm":
            values = values * np.float32(self.folding.logits)
        if module.endswith((".o_proj", ".down_proj")):
            values = values * np.float32(self.folding.residual)
        return values

    def _check_finite(self, name: str, values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            stored = self._stored(name)
            raise ModelError(
                f"{self._source.file(stored)}: tensor {stored} holds a NaN or an infinity: {AGAIN}"
            )

    def _balance(self, name: str) -> NDArray[np.float64] | None:
        """Factor of each row of a projection of queries or keys that have biases; None for other matrices."""
        if not self.config.qkv_bias or self.config.qk_norm or self.config.mla is not None:
            return None
        prefix, _, module = name.rpartition(".")
        if module not in ("q_proj", "k_proj"):
            return None
        factors = self._key_factors(prefix)
        if module == "k_proj":
            return 1 / factors.ravel()
        return np.repeat(factors, self.config.num_heads // self.config.num_kv_heads, axis=0).ravel()

    def _key_factors(self, prefix: str) -> NDArray[np.float64]:
        if prefix not in self._factors:
            norm = self.vector(f"{prefix.removesuffix('.self_attn')}.input_layernorm.weight")
            sizes = (
                channel_sizes(
                    self._source.matrix(self._stored(f"{prefix}.{module}")),
                    self._source.vector(self._stored(f"{prefix}.{module}.bias")).astype(np.float64),
                    norm,
                )
                for module in ("q_proj", "k_proj")
            )
            self._factors[prefix] = key_factors(self.config, *sizes)
        return self._factors[prefix]

    def _row_order(self, name: str) -> NDArray[np.intp] | None:
        """Which stored rows the matrix `name` has, where they are not all in order."""
        latent = self.config.mla
        if latent is None or not self.folding.adjacent_pairs:
            return None
        return _halves(name.rpartition(".")[2], latent, self.config.num_heads)


def _halves(module: str, latent: LatentAttention, heads: int) -> NDArray[np.intp] | None:
    """The rows of a projection that makes rotated values, reordered from adjacent pairs to halves."""
    turned = np.arange(latent.rope_dim).reshape(-1, 2).T.ravel()
    if module == "kv_a_proj_with_mqa":
        return np.concatenate((np.arange(latent.kv_rank), latent.kv_rank + turned))
    if module in ("q_proj", "q_b_proj"):
        head = np.concatenate((np.arange(latent.nope_dim), latent.nope_dim + turned))
        return (len(head) * np.arange(heads)[:, None] + head).ravel()
    return None
