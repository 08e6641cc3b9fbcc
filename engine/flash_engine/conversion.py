"""A model written as a folder in MLX's format, matrix by matrix: quantized, or with the numbers that it has.

Calibration-free, each group's range is cut into equal steps (matrices.quantize); or with the factors of a Scaling.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from flash_engine import provenance
from flash_engine.checkpoint import Checkpoint
from flash_engine.errors import ModelError
from flash_engine.formats import base_folder, gguf_file
from flash_engine.formats.gguf_tokenizer import tokenizer_json
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, quantize, row_slices
from flash_engine.scaling import Scaling
from flash_engine.shapes import ROUTER, matrix_shapes, vector_shapes

SHARD_BYTES = 2_000_000_000
"""A file is closed when it has reached this size; as much is held in memory."""

Progress = Callable[[str, float], None]
Recipe = Callable[[str], int | None]
"""Bits of a matrix by its name: 4, 8 or 16; None: as stored."""

_EDGE = re.compile(r"model\.layers\.(\d+)\.(?:self_attn\.v_proj|mlp\.(?:experts\.\d+\.)?down_proj)")


@dataclass(frozen=True, slots=True)
class Loss:
    """What quantization changed in the matrices, weighted by their size."""

    relative_error: float
    """Root of the summed squared differences over the root of the summed squares."""
    worst: str
    """The matrix with the largest relative error."""
    worst_error: float


def uniform(bits: int | None) -> Recipe:
    """The same bits for every matrix; None: every matrix as stored."""
    return lambda name: bits


def mixed(layers: int) -> Recipe:
    """4 bits, and 8 where errors weigh most: embedding, head, and v_proj and down_proj of the first and last eighth of
    the layers and every third between (the choice of llama.cpp's Q4_K_M and mlx-lm's mixed recipes)."""

    def bits(name: str) -> int:
        if name in ("model.embed_tokens", "lm_head"):
            return 8
        found = _EDGE.fullmatch(name)
        if found is None:
            return 4
        layer, edge = int(found[1]), max(layers // 8, 1)
        return 8 if layer < edge or layer >= layers - edge or (layer - edge) % 3 == 2 else 4

    return bits


def convert(
    folder: Path,
    out: Path,
    recipe: Recipe,
    *,
    group_size: int,
    progress: Progress,
    scaling: Scaling | None = None,
) -> Loss:
    """Write the model in `folder`, of any format, as an MLX-quantized folder `out`, which must not exist.

    group_size: 32, 64 or 128; a matrix whose columns are no multiple of it gets a smaller group, or else stays as it
    is. scaling: see flash_engine.scaling. Peak memory is one shard and one matrix. Raises ModelError if the model is
    damaged, or to be quantized and is quantized already.
    """
    checkpoint = Checkpoint(folder)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        writer = _Writer(checkpoint, recipe, group_size, scaling or Scaling())
        _shards(writer.tensors(progress), partial)
        text = json.dumps(writer.description(), indent=1) + "\n"
        (partial / "config.json").write_text(text, encoding="utf-8")
        for source in filter(None, (base_folder(folder), folder)):
            _copy_rest(source, partial)
        origin = provenance.read(folder)
        provenance.write(
            partial,
            f"converted from {origin.source if origin else folder.name}",
            revision=origin.revision if origin else "",
            license=origin.license if origin else "",
        )
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return _loss(writer.errors)


def quantization_for(bits: int | None, group_size: int, columns: int) -> Quantization | None:
    """How a matrix is quantized that is to get `bits`; None: it stays in 16 bit, or as stored."""
    group = next((each for each in (group_size, 64, 32) if each <= group_size and columns % each == 0), None)
    return None if bits in (None, 16) or group is None else Quantization(bits, group)


class _Writer:
    """A checkpoint's tensors under the names and in the form in which they are written."""

    def __init__(self, checkpoint: Checkpoint, recipe: Recipe, group_size: int, scaling: Scaling) -> None:
        self.errors: dict[str, tuple[float, float]] = {}
        """Matrix -> sum of squared differences, sum of squares, before scaling."""
        self._checkpoint = checkpoint
        self._recipe = recipe
        self._group_size = group_size
        self._scaling = scaling
        self._quantized: dict[str, Quantization] = {}

    def tensors(self, progress: Progress) -> Iterator[tuple[str, NDArray[Any]]]:
        shapes = matrix_shapes(self._checkpoint.config)
        total = sum(rows * columns for rows, columns in shapes.values())
        done = 0
        for name, (rows, columns) in shapes.items():
            progress(name, done / total)
            done += rows * columns
            stored, matrix = self._checkpoint.stored_name(name), self._converted(name)
            if isinstance(matrix, DenseMatrix):
                yield f"{stored}.weight", matrix.values
                continue
            self._quantized[stored] = matrix.quantization
            yield f"{stored}.weight", matrix.weight
            yield f"{stored}.scales", matrix.scales
            yield f"{stored}.biases", matrix.biases
        for name in vector_shapes(self._checkpoint.config):
            values = self._scaling.vector(name, self._checkpoint.stored_vector(name))
            yield self._checkpoint.stored_name(name), values.astype(np.float32)

    def description(self) -> dict[str, Any]:
        """config.json, once all tensors were taken."""
        raw = {name: value for name, value in self._checkpoint.description.items() if value is not None}
        for name in ("quantization", "quantization_config"):
            raw.pop(name, None)
        if self._quantized:
            kinds = list(self._quantized.values())
            usual = max(dict.fromkeys(kinds), key=kinds.count)
            raw["quantization"] = {"bits": usual.bits, "group_size": usual.group_size, "mode": "affine"} | {
                stored: {"bits": kind.bits, "group_size": kind.group_size}
                for stored, kind in self._quantized.items()
                if kind != usual
            }
        return raw

    def _converted(self, name: str) -> Matrix:
        matrix, bits = self._checkpoint.stored_matrix(name), self._recipe(name)
        if bits is None:
            return matrix
        wanted = quantization_for(16 if name.endswith(ROUTER) else bits, self._group_size, matrix.shape[1])
        if wanted is None:
            return _halves(matrix)
        if not isinstance(matrix, DenseMatrix):
            raise ModelError(
                f"{self._checkpoint.folder}: {self._checkpoint.stored_name(name)} is quantized already: give a 16-bit "
                "model, or keep its numbers (bits: stored)"
            )
        if name in self._scaling.columns or name in self._scaling.rows:
            scaled = self._scaling.matrix(name, matrix.values)
            return quantize(scaled, wanted, self._scaling.importance.get(name))
        quantized = quantize(matrix, wanted)
        lost = size = 0.0
        for rows, values in matrix.slices():
            exact = values.astype(np.float64)
            lost += float(np.square(exact - quantized.rows(rows).dequantize()).sum())
            size += float(np.square(exact).sum())
        self.errors[name] = lost, size
        return quantized


def _halves(matrix: Matrix) -> DenseMatrix:
    """In float16, a few rows at a time."""
    halves = np.empty(matrix.shape, np.float16)
    for rows in row_slices(*matrix.shape):
        halves[rows] = matrix.rows(rows).dequantize()
    return DenseMatrix(halves)


def _shards(tensors: Iterator[tuple[str, NDArray[Any]]], out: Path) -> None:
    shard: dict[str, NDArray[Any]] = {}
    files: list[Path] = []

    def close() -> None:
        files.append(out / f"model-{len(files) + 1:05}.safetensors")
        save_file({name: np.ascontiguousarray(values) for name, values in shard.items()}, files[-1])
        shard.clear()

    for name, values in tensors:
        shard[name] = values
        if sum(each.nbytes for each in shard.values()) >= SHARD_BYTES:
            close()
    if shard:
        close()
    if len(files) == 1:
        files[0].rename(out / "model.safetensors")


def _copy_rest(folder: Path, out: Path) -> None:
    """Tokenizer, licence, card."""
    replaced = ("config.json", "adapter_config.json", "model.safetensors.index.json", provenance.FILE)
    written = {".safetensors", ".gguf", ".bin", ".pt"}
    gguf = gguf_file(folder)
    if gguf is not None:
        text = json.dumps(tokenizer_json(gguf), ensure_ascii=False)
        (out / "tokenizer.json").write_text(text, encoding="utf-8")
    for file in () if folder.is_file() else folder.iterdir():
        hidden = file.name.startswith(".") or file.name in replaced
        if file.is_file() and file.suffix not in written and not hidden:
            shutil.copyfile(file, out / file.name)


def _loss(errors: dict[str, tuple[float, float]]) -> Loss:
    if not errors:
        return Loss(0.0, "", 0.0)
    relative = {name: (lost / max(size, 1e-30)) ** 0.5 for name, (lost, size) in errors.items()}
    worst = max(relative, key=lambda name: relative[name])
    lost, size = (sum(each) for each in zip(*errors.values(), strict=True))
    return Loss((lost / max(size, 1e-30)) ** 0.5, worst, relative[worst])
