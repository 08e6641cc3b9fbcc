"""A model folder quantized ahead of time: MLX's format, from a folder in 16 or 32 bit, matrix by matrix.

Calibration-free: each group's range is cut into equal steps (matrices.quantize).
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
from flash_engine.matrices import DenseMatrix, Quantization, quantize
from flash_engine.shapes import matrix_shapes, vector_shapes

SHARD_BYTES = 2_000_000_000
"""A file is closed when it has reached this size; as much is held in memory."""

Progress = Callable[[str, float], None]
Recipe = Callable[[str], int]
"""Bits of a matrix by its name: 4, 8 or 16."""

_EDGE = re.compile(r"model\.layers\.(\d+)\.(?:self_attn\.v_proj|mlp\.(?:experts\.\d+\.)?down_proj)")


@dataclass(frozen=True, slots=True)
class Loss:
    """What quantization changed in the matrices, weighted by their size."""

    relative_error: float
    """Root of the summed squared differences over the root of the summed squares."""
    worst: str
    """The matrix with the largest relative error."""
    worst_error: float


def uniform(bits: int) -> Recipe:
    """The same bits for every matrix."""
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


def convert(folder: Path, out: Path, recipe: Recipe, *, group_size: int, progress: Progress) -> Loss:
    """Write the model in `folder` (16 or 32 bit) as an MLX-quantized folder `out`, which must not exist.

    group_size: 32, 64 or 128; a matrix whose columns are no multiple of it gets a smaller group, or else stays as it
    is. Peak memory is one shard and one matrix. Raises ModelError if the model is damaged or quantized already.
    """
    checkpoint = Checkpoint(folder)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        loss = _write(checkpoint, partial, recipe, group_size, progress)
        _copy_rest(folder, partial)
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
    return loss


def _write(checkpoint: Checkpoint, out: Path, recipe: Recipe, group_size: int, progress: Progress) -> Loss:
    overrides: dict[str, dict[str, int]] = {}
    default = Quantization(recipe("model.layers.0.self_attn.q_proj"), group_size)
    names = matrix_shapes(checkpoint.config)
    total = sum(rows * columns for rows, columns in names.values())
    errors: dict[str, tuple[float, float]] = {}

    def tensors() -> Iterator[tuple[str, NDArray[Any]]]:
        done = 0
        for name, (rows, columns) in names.items():
            progress(name, done / total)
            done += rows * columns
            stored, bits = checkpoint.stored_name(name), recipe(name)
            matrix = checkpoint.stored_matrix(name)
            if not isinstance(matrix, DenseMatrix):
                raise ModelError(f"{checkpoint.folder}: {stored} is quantized already: give a 16-bit model")
            group = next((g for g in (group_size, 64, 32) if g <= group_size and columns % g == 0), None)
            if bits == 16 or group is None:
                yield f"{stored}.weight", matrix.values.astype(np.float16)
                continue
            quantized = quantize(matrix.values, Quantization(bits, group))
            values = matrix.values.astype(np.float32)
            difference = values - quantized.dequantize().astype(np.float32)
            errors[name] = (float(np.square(difference).sum()), float(np.square(values).sum()))
            if quantized.quantization != default:
                overrides[stored] = {"bits": bits, "group_size": group}
            yield f"{stored}.weight", quantized.weight
            yield f"{stored}.scales", quantized.scales
            yield f"{stored}.biases", quantized.biases
        for name in vector_shapes(checkpoint.config):
            stored = checkpoint.stored_name(name)
            yield stored, checkpoint.stored_vector(name).astype(np.float32)

    _shards(tensors(), out)
    raw = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    raw.pop("quantization_config", None)
    raw["quantization"] = {"bits": default.bits, "group_size": group_size, "mode": "affine", **overrides}
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return _loss(errors)


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
    replaced = ("config.json", "model.safetensors.index.json", provenance.FILE)
    written = {".safetensors", ".gguf", ".bin", ".pt"}
    for file in folder.iterdir():
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
