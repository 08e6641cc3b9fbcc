"""Hugging Face's folders: config.json and safetensors, 16 or 32 bit, or quantized by MLX.

MLX stores a quantized matrix X as X.weight (uint32, the first value in the lowest bits), X.scales and X.biases;
its config.json has `quantization` with the bits and group for all, and by a module's name for those that differ.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN, Fields
from flash_engine.formats.changes import Changes
from flash_engine.formats.safetensors import Tensor, read_header
from flash_engine.matrices import SUPPORTED, DenseMatrix, Matrix, Quantization, QuantizedMatrix, widen

_FLOATS = ("F16", "BF16", "F32")
_EXPERT = re.compile(r"(.*\.mlp)\.experts\.(\d+)\.(\w+)")


class HuggingFaceFolder:
    """A Source: see flash_engine.formats.source."""

    def __init__(self, folder: Path) -> None:
        self.fields = Fields.from_file(folder / "config.json")
        self.changes = Changes()
        self._default = folder / "model.safetensors"
        self._tensors: dict[str, Tensor] = {}
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise ModelError(f"{self._default} is missing: {AGAIN}")
        for file in files:
            self._tensors |= read_header(file)
        self._quantization = self.fields.section("quantization") or self.fields.section("quantization_config")
        if self._quantization is not None:
            _check_method(self._quantization)

    def has(self, name: str) -> bool:
        return name in self._tensors or self._key(name)[0] in self._tensors

    def file(self, name: str) -> Path:
        key, _ = self._key(name)
        tensor = self._tensors.get(name) or self._tensors.get(key)
        return self._default if tensor is None else tensor.file

    def check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        rows, columns = shape
        quantization = self.quantization(name)
        if quantization is None:
            self._check(name, "weight", shape, _FLOATS)
            return
        if columns % quantization.group_size:
            raise ModelError(
                f"{self.file(name)}: the {columns} columns of {name} are no multiple of its quantization group "
                f"({quantization.group_size}): quantize it in a smaller group"
            )
        self._check(name, "weight", (rows, columns * quantization.bits // 32), ("U32",))
        for part in ("scales", "biases"):
            self._check(name, part, (rows, columns // quantization.group_size), _FLOATS)

    def check_vector(self, name: str, shape: tuple[int]) -> None:
        module, _, part = name.rpartition(".")
        self._check(module, part, shape, _FLOATS)

    def check_complete(self, names: set[str]) -> None:
        """Nothing to check: tensors that are not asked for (a tied head, rotary tables) do no harm."""

    def quantization(self, name: str) -> Quantization | None:
        key, _ = self._key(name)
        module = key.removesuffix(".weight")
        if key in self._tensors and self._tensors[key].dtype in _FLOATS:
            return None
        if self._quantization is None:
            if key not in self._tensors:
                return None
            raise self.fields.error(
                "quantization", f"is missing, but {module} is quantized: the file is incomplete, {AGAIN}"
            )
        fields = self._quantization.section(module) or self._quantization
        fields.only("mode", "affine", default="affine")
        quantization = Quantization(fields.count("bits"), fields.count("group_size"))
        if quantization not in SUPPORTED:
            raise fields.error(
                "bits",
                f"is {quantization.bits} in groups of {quantization.group_size}, which is not supported "
                "(supported: 4 or 8 bit in groups of 32, 64 or 128)",
            )
        return quantization

    def matrix(self, name: str) -> Matrix:
        quantization = self.quantization(name)
        if quantization is None:
            return DenseMatrix(self._raw(name, "weight"))
        weight, scales, biases = (
            self._raw(name, "weight"),
            *map(widen, (self._raw(name, part) for part in ("scales", "biases"))),
        )
        if scales.dtype != biases.dtype:
            scales, biases = scales.astype(np.float32), biases.astype(np.float32)
        return QuantizedMatrix(weight, scales, biases, quantization.bits)

    def vector(self, name: str) -> NDArray[Any]:
        return self._tensors[name].read()

    def _raw(self, name: str, part: str) -> NDArray[Any]:
        key, expert = self._key(name, part)
        return self._tensors[key].raw(expert)

    def _check(self, name: str, part: str, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> None:
        key, expert = self._key(name, part)
        tensor = self._tensors.get(key)
        if tensor is None:
            raise ModelError(f"{self._default} has no tensor {key}: {AGAIN}")
        stored = tensor.shape if expert is None else tensor.shape[1:]
        if stored != shape:
            raise ModelError(
                f"{tensor.file}: tensor {key} has shape {list(stored)}, "
                f"by config.json it should have {list(shape)}: {AGAIN}"
            )
        if tensor.dtype not in dtypes:
            raise ModelError(
                f"{tensor.file}: tensor {key} is {tensor.dtype}, not {' or '.join(dtypes)}: {AGAIN}"
            )

    def _key(self, name: str, part: str = "weight") -> tuple[str, int | None]:
        """The stored tensor of a part of `name`, and which of its parts if it holds all experts of a layer."""
        key = f"{name}.{part}"
        expert = _EXPERT.fullmatch(name)
        if expert is None or key in self._tensors:
            return key, None
        return f"{expert[1]}.switch_mlp.{expert[3]}.{part}", int(expert[2])


def _check_method(quantization: Fields) -> None:
    """Refuse what other tools quantized, by their names for it."""
    if quantization.has("quant_method"):
        method = quantization.text("quant_method")
        raise quantization.error(
            "quant_method",
            f"is {method!r}, which is not supported: give the model in 16 bit, quantized by MLX, or as GGUF",
        )
