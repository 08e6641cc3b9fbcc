"""Activation-aware quantization: which columns of a matrix matter is told by what goes into them.

After AWQ (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization"): the columns of the matrices that read one
input are multiplied by s, and what makes the input (a norm, or the rows of a matrix) is divided by it, so that the
model computes the same. Large s makes the rounding of its column small. s = a^alpha, a the mean size of the input's
channel; alpha is the one of a grid with the smallest error of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.activations import Inputs, Pass
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.matrices import DenseMatrix, Quantization, quantize
from flash_engine.shapes import matrix_shapes

Array = NDArray[np.float32]
Choice = Callable[[str, int], Quantization | None]
"""How the matrix of a name and number of columns will be quantized; None: not at all."""

ALPHAS = tuple(step / 10 for step in range(10))
TOKENS, ROWS = 128, 256
"""How many of a sample's inputs, and of a matrix's outputs, an error is measured on at most, spread evenly."""


@dataclass(slots=True)
class Scaling:
    """Factors that leave a model's function as it is."""

    columns: dict[str, Array] = field(default_factory=dict)
    """Matrix -> [k]"""
    rows: dict[str, Array] = field(default_factory=dict)
    """Matrix, or vector, -> [n]"""
    importance: dict[str, Array] = field(default_factory=dict)
    """Matrix -> [k], the mean square of each column's input, as scaled."""
    losses: dict[str, float] = field(default_factory=dict)
    """Matrix -> the squared error that quantizing it makes in the residual stream (of a head: in the logits), relative
    to the squares of that: an estimate, which takes each matrix of a layer's part to disturb the part's output by as
    much as its own."""

    def matrix(self, name: str, values: NDArray[Any]) -> Array:
        """[n, k] with the factors of the matrix `name`, float32."""
        scaled: Array = values.astype(np.float32)
        if name in self.columns:
            scaled = scaled * self.columns[name]
        if name in self.rows:
            scaled = scaled * self.rows[name][:, None]
        return scaled

    def vector(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """[n] with the factors of the vector `name`."""
        return values.astype(np.float32) * self.rows[name] if name in self.rows else values


@dataclass(frozen=True, slots=True)
class _Group:
    """Matrices that read one input, and what makes it."""

    readers: tuple[str, ...]
    makers: tuple[str, ...]
    """Vectors and matrices whose elements, or rows, are the input's channels."""
    inputs: Array
    share: float
    """Of the residual stream, that the part of the layer adds in which they are."""
    shared: int = 1
    """How many successive heads of the input one head of the makers serves."""
    head_dim: int = 1

    def folded(self, sizes: Array) -> Array:
        """[k] of the input -> the mean over those that one channel of the makers serves."""
        mean: Array = sizes.reshape(-1, self.shared, self.head_dim).mean(axis=1).ravel()
        return mean

    def spread(self, factors: Array) -> Array:
        """Factors of the makers' channels -> [k]"""
        return np.repeat(factors.reshape(-1, self.head_dim), self.shared, axis=0).ravel()


def find(
    checkpoint: Checkpoint, texts: Sequence[Sequence[int]], choice: Choice, progress: Callable[[float], None]
) -> Scaling:
    """The factors for a model that is `activations.computable`, from a sample of tokens."""
    found = Scaling()
    for layer, inputs in enumerate(Pass(checkpoint, texts).layers()):
        progress(layer / checkpoint.config.num_layers)
        for group in _groups(checkpoint.config, f"model.layers.{layer}", inputs):
            _fold(checkpoint, group, choice, found)
    for name in ("model.embed_tokens", "lm_head"):
        if name in matrix_shapes(checkpoint.config):
            _estimate(checkpoint, name, choice, found)
    return found


def _groups(config: ModelConfig, prefix: str, inputs: Inputs) -> Iterator[_Group]:
    attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
    yield _Group(
        tuple(f"{attention}.{part}_proj" for part in "qkv"),
        (f"{prefix}.input_layernorm.weight",),
        inputs.attention,
        inputs.attention_share,
    )
    yield _Group(
        (f"{attention}.o_proj",),
        (f"{attention}.v_proj", f"{attention}.v_proj.bias"),
        inputs.output,
        inputs.attention_share,
        config.num_heads // config.num_kv_heads,
        config.head_dim,
    )
    yield _Group(
        (f"{mlp}.gate_proj", f"{mlp}.up_proj"),
        (f"{prefix}.post_attention_layernorm.weight",),
        inputs.mlp,
        inputs.mlp_share,
    )
    yield _Group(
        (f"{mlp}.down_proj",), (f"{mlp}.up_proj", f"{mlp}.up_proj.bias"), inputs.down, inputs.mlp_share
    )


def _fold(checkpoint: Checkpoint, group: _Group, choice: Choice, found: Scaling) -> None:
    columns = group.inputs.shape[1]
    readers = {
        name: (_some(checkpoint, name), quantization)
        for name in group.readers
        if (quantization := choice(name, columns)) is not None
    }
    if not readers:
        return
    sizes = group.folded(np.abs(group.inputs).mean(axis=0))
    factors = best_factors(group.inputs, list(readers.values()), sizes, group.spread)
    wide = group.spread(factors)
    importance: Array = np.square(group.inputs / wide).mean(axis=0)
    for name in group.readers:
        found.columns[name] = wide
        found.importance[name] = importance
    for name in group.makers:
        if checkpoint.has(name):
            found.rows[name] = np.reciprocal(factors)
    some = group.inputs[_spaced(len(group.inputs), TOKENS)]
    for name, (rows, kind) in readers.items():
        off = np.square(some @ (rows - _rounded(rows * wide, kind) / wide).T).sum(-1)
        size = np.square(some @ rows.T).sum(-1)
        found.losses[name] = group.share * float(np.mean(off / np.maximum(size, 1e-30)))


def _estimate(checkpoint: Checkpoint, name: str, choice: Choice, found: Scaling) -> None:
    """The loss of a matrix that belongs to no layer: what rounding changes in it."""
    rows = _some(checkpoint, name)
    kind = choice(name, rows.shape[1])
    if kind is not None:
        off, size = np.square(rows - _rounded(rows, kind)).sum(), np.square(rows).sum()
        found.losses[name] = float(off / np.maximum(size, 1e-30))


def best_factors(
    inputs: Array,
    readers: Sequence[tuple[Array, Quantization]],
    sizes: Array,
    spread: Callable[[Array], Array] = lambda factors: factors,
) -> Array:
    """The factors whose readers (some rows of each, float32 [n, k]) have the smallest error of their outputs.

    inputs: float32 [tokens, k]. sizes: mean absolute input of each channel of what makes it, which the factors are for.
    """
    some = inputs[_spaced(len(inputs), TOKENS)]
    safe = np.maximum(sizes, max(float(sizes.max()), 1e-20) * 1e-4)

    def factors(alpha: float) -> Array:
        power = safe ** np.float32(alpha)
        even: Array = power / np.sqrt(power.max() * power.min())
        return even

    def error(alpha: float) -> float:
        wide = spread(factors(alpha))
        return sum(
            float(np.square(some @ (rows - _rounded(rows * wide, kind) / wide).T).sum())
            for rows, kind in readers
        )

    return factors(min(ALPHAS, key=error))


def _rounded(values: Array, quantization: Quantization) -> Array:
    return quantize(values, quantization).dequantize().astype(np.float32)


def _some(checkpoint: Checkpoint, name: str) -> Array:
    """Some rows of a matrix, as stored."""
    matrix = checkpoint.stored_matrix(name)
    rows = matrix.rows(_spaced(matrix.shape[0], ROWS))
    return (rows.values if isinstance(rows, DenseMatrix) else rows.dequantize()).astype(np.float32)


def _spaced(count: int, most: int) -> NDArray[np.intp]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.intp)
