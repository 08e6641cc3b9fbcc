"""LoRA adapters (Hu et al. 2021), merged into the matrices of their base model as these are read.

Two layouts: PEFT's (adapter_model.safetensors; lora_A [r, k], lora_B [n, r], scale alpha / r) and mlx-lm's
(adapters.safetensors; lora_a [k, r], lora_b [r, n], scale as given). Both have adapter_config.json.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN, Fields
from flash_engine.formats.safetensors import Tensor, read_header
from flash_engine.formats.source import Source
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, quantize

_PEFT = re.compile(r"base_model\.model\.(.+)\.lora_(A|B)(?:\.default)?\.weight")
_MLX = re.compile(r"(.+)\.lora_(a|b)")


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change of one matrix: scale * up @ down."""

    down: Tensor
    up: Tensor
    scale: float
    transposed: bool
    """Whether the factors are stored transposed and in the other order (mlx-lm)."""

    def delta(self) -> NDArray[np.float32]:
        """float32 [n, k]"""
        down, up = self.down.read().astype(np.float32), self.up.read().astype(np.float32)
        product: NDArray[np.float32] = (down @ up).T if self.transposed else up @ down
        return np.float32(self.scale) * product

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        if self.transposed:
            return self.up.shape[1], self.down.shape[0]
        return self.up.shape[0], self.down.shape[1]


def base_folder(folder: Path) -> Path | None:
    """The base model of the adapter in `folder`; None if `folder` holds no adapter.

    Raises ModelError if adapter_config.json names a base that is not on this machine.
    """
    path = folder / "adapter_config.json"
    if not path.is_file() or (folder / "config.json").is_file():
        return None
    fields = Fields.from_file(path)
    name = "base_model_name_or_path" if fields.has("base_model_name_or_path") else "model"
    base = Path(fields.text(name)).expanduser()
    for candidate in (base, folder / base):
        if candidate.exists():
            return candidate
    raise fields.error(
        name, f"is '{base}', which is not a folder on this machine: fetch that model and put its path there"
    )


class AdaptedSource:
    """A Source with an adapter merged in: see flash_engine.formats.source.

    A changed matrix that was quantized is quantized again in the same bits and group.
    """

    def __init__(self, base: Source, folder: Path) -> None:
        self.fields = base.fields
        self.changes = base.changes
        self._base = base
        self._changes = _read(folder)

    def has(self, name: str) -> bool:
        return self._base.has(name)

    def file(self, name: str) -> Path:
        return self._base.file(name)

    def check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        self._base.check_matrix(name, shape)
        change = self._changes.get(name)
        if change is not None and change.shape != shape:
            raise ModelError(
                f"{change.up.file}: the adapter of {name} is for a matrix of {list(change.shape)}, the base model "
                f"has {list(shape)}: give the base model that the adapter was trained on"
            )

    def check_vector(self, name: str, shape: tuple[int]) -> None:
        self._base.check_vector(name, shape)

    def check_complete(self, names: set[str]) -> None:
        """Raise ModelError if the adapter changes a matrix that is not among `names`."""
        for name, change in self._changes.items():
            if name not in names:
                raise ModelError(
                    f"{change.up.file}: the adapter changes {name}, which the base model lacks: give the base "
                    "model that the adapter was trained on"
                )

    def quantization(self, name: str) -> Quantization | None:
        return self._base.quantization(name)

    def matrix(self, name: str) -> Matrix:
        matrix = self._base.matrix(name)
        change = self._changes.get(name)
        if change is None:
            return matrix
        values = matrix.dequantize().astype(np.float32) + change.delta()
        if not np.isfinite(values).all():
            raise ModelError(f"{change.up.file}: the adapter of {name} holds a NaN or an infinity: {AGAIN}")
        return (
            DenseMatrix(values) if isinstance(matrix, DenseMatrix) else quantize(values, matrix.quantization)
        )

    def vector(self, name: str) -> NDArray[Any]:
        return self._base.vector(name)


def _read(folder: Path) -> dict[str, LowRank]:
    fields = Fields.from_file(folder / "adapter_config.json")
    for file, read in (("adapter_model.safetensors", _peft), ("adapters.safetensors", _mlx)):
        if (folder / file).is_file():
            return read(read_header(folder / file), fields, folder / file)
    raise ModelError(
        f"{folder} has no adapter_model.safetensors (PEFT) and no adapters.safetensors (mlx-lm): {AGAIN}"
    )


def _peft(tensors: dict[str, Tensor], fields: Fields, file: Path) -> dict[str, LowRank]:
    fields.only("peft_type", "LORA", default="LORA")
    fields.only("use_dora", False, default=False)
    fields.only("fan_in_fan_out", False, default=False)
    fields.only("bias", "none", default="none")
    for name in ("rank_pattern", "alpha_pattern"):
        fields.empty(name)
    rank, alpha = fields.count("r"), fields.number("lora_alpha")
    scale = alpha / (math.sqrt(rank) if fields.flag("use_rslora") else rank)
    return {
        name: LowRank(down, up, scale, transposed=False)
        for name, (down, up) in _pairs(tensors, _PEFT, "A", file).items()
    }


def _mlx(tensors: dict[str, Tensor], fields: Fields, file: Path) -> dict[str, LowRank]:
    fields.only("fine_tune_type", "lora", default="lora")
    parameters = fields.section("lora_parameters") or fields
    scale = parameters.number("scale")
    return {
        name: LowRank(down, up, scale, transposed=True)
        for name, (down, up) in _pairs(tensors, _MLX, "a", file).items()
    }


def _pairs(
    tensors: dict[str, Tensor], pattern: re.Pattern[str], first: str, file: Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """Matrix -> its two factors, the one that reads the input first."""
    parts: dict[str, dict[bool, Tensor]] = {}
    for name, tensor in tensors.items():
        match = pattern.fullmatch(name)
        if match is None:
            raise ModelError(
                f"{file}: tensor {name} is no part of a LoRA adapter: merge the adapter with the tool that made it"
            )
        parts.setdefault(match[1], {})[match[2] == first] = tensor
    for name, factors in parts.items():
        if len(factors) != 2:
            raise ModelError(f"{file}: the adapter of {name} has one factor of two: {AGAIN}")
    return {name: (factors[True], factors[False]) for name, factors in parts.items()}
