"""A model folder: config.json and memory-mapped safetensors; types and shapes are checked on opening.

Format: https://huggingface.co/docs/safetensors (8 bytes of header length, JSON header, data) holding MLX's
affine 4-bit quantization: a matrix X is X.weight (uint32, eight 4-bit values each, lowest first), X.scales
and X.biases.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.config import ModelConfig
from flash_engine.errors import ModelError

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "U32": "<u4", "I32": "<i4", "U8": "u1", "I8": "i1"}
_AGAIN = "fetch the model again"


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """An n x k matrix of 4-bit values: scale * q + bias, one scale and bias for each group along k."""

    weight: NDArray[np.uint32]
    """[n, k / 8]; the lowest 4 bits are the first value."""
    scales: NDArray[np.float16]
    """[n, k / group]"""
    biases: NDArray[np.float16]
    """[n, k / group]"""

    def dequantize(self) -> NDArray[np.float64]:
        """The matrix in float64, [n, k], exact."""
        pairs = self.weight.astype("<u4", copy=False).view(np.uint8)
        groups = np.stack((pairs & 15, pairs >> 4), axis=-1).reshape(*self.scales.shape, -1)
        values: NDArray[np.float64] = (
            groups * self.scales[..., None].astype(np.float64) + self.biases[..., None]
        )
        return values.reshape(len(self.weight), -1)


class Checkpoint:
    """The tensors of a llama in a folder. Raises ModelError that names the file and the tensor at fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = ModelConfig.from_folder(folder)
        self._tensors: dict[str, NDArray[Any]] = {}
        self._files: dict[str, Path] = {}
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise ModelError(f"{folder / 'model.safetensors'} is missing: {_AGAIN}")
        for file in files:
            tensors = _map_safetensors(file)
            self._tensors |= tensors
            self._files |= dict.fromkeys(tensors, file)
        self._check_shapes()

    def tensor(self, name: str) -> NDArray[Any]:
        """The tensor `name`, read-only and memory-mapped, as stored (bfloat16 converted to float32)."""
        if name not in self._tensors:
            raise ModelError(f"{self.folder / 'model.safetensors'} has no tensor {name}: {_AGAIN}")
        return self._tensors[name]

    def vector(self, name: str) -> NDArray[np.float32]:
        """The one-dimensional tensor `name` (a norm's weight, a bias) in float32, checked to be finite."""
        values = self.tensor(name).astype(np.float32)
        self._check_finite(name, values)
        return values

    def quantized(self, name: str) -> QuantizedMatrix:
        """The matrix `name` (`model.layers.0.mlp.up_proj`), memory-mapped; scales and biases are finite."""
        matrix = QuantizedMatrix(*(self.tensor(f"{name}.{part}") for part in ("weight", "scales", "biases")))
        self._check_finite(f"{name}.scales", matrix.scales)
        self._check_finite(f"{name}.biases", matrix.biases)
        return matrix

    def _check_finite(self, name: str, values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise ModelError(f"{self._files[name]}: tensor {name} holds a NaN or an infinity: {_AGAIN}")

    def _check_shapes(self) -> None:
        if self.config.quantization is None:
            raise ModelError(
                f"{self.folder / 'config.json'} has no quantization: 16-bit weights are not supported, "
                "give an MLX-quantized 4-bit copy of the model"
            )
        for name, (dtype, shape) in _expected(self.config, self.config.quantization.group_size).items():
            values = self.tensor(name)
            if values.shape != shape:
                raise ModelError(
                    f"{self._files[name]}: tensor {name} has shape {list(values.shape)}, "
                    f"by config.json it should have {list(shape)}"
                )
            if dtype is not None and values.dtype != dtype:
                raise ModelError(
                    f"{self._files[name]}: tensor {name} is {values.dtype}, not {np.dtype(dtype)}"
                )


def matrix_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Name -> (n, k) of every weight matrix of the model `config` describes."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    shapes = {"model.embed_tokens": (config.vocab_size, hidden)}
    if not config.tie_embeddings:
        shapes["lm_head"] = (config.vocab_size, hidden)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.self_attn.q_proj": (queries, hidden),
            f"{prefix}.self_attn.k_proj": (keys, hidden),
            f"{prefix}.self_attn.v_proj": (keys, hidden),
            f"{prefix}.self_attn.o_proj": (hidden, queries),
            f"{prefix}.mlp.gate_proj": (ffn, hidden),
            f"{prefix}.mlp.up_proj": (ffn, hidden),
            f"{prefix}.mlp.down_proj": (hidden, ffn),
        }
    return shapes


def vector_shapes(config: ModelConfig) -> dict[str, tuple[int]]:
    """Name -> (n,) of every norm weight and, with attention_bias, every bias."""
    shapes = {"model.norm.weight": (config.hidden_size,)}
    for layer in range(config.num_layers):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{norm}.weight"] = (config.hidden_size,)
    if config.attention_bias:
        shapes |= {
            f"{name}.bias": (rows,)
            for name, (rows, _) in matrix_shapes(config).items()
            if ".self_attn." in name
        }
    return shapes


def _expected(config: ModelConfig, group: int) -> dict[str, tuple[type[np.generic] | None, tuple[int, ...]]]:
    """Tensor name -> (type, or None for any; shape) of an MLX-quantized checkpoint."""
    expected: dict[str, tuple[type[np.generic] | None, tuple[int, ...]]] = {
        name: (None, shape) for name, shape in vector_shapes(config).items()
    }
    for name, (rows, columns) in matrix_shapes(config).items():
        expected[f"{name}.weight"] = (np.uint32, (rows, columns // 8))
        expected[f"{name}.scales"] = (np.float16, (rows, columns // group))
        expected[f"{name}.biases"] = (np.float16, (rows, columns // group))
    return expected


def _map_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream:
        try:
            data = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            start = 8 + int.from_bytes(data[:8].tobytes(), "little")
            if start > len(data):
                raise ValueError(f"the header should end at byte {start}, the file at {len(data)}")
            header: dict[str, Any] = json.loads(data[8:start].tobytes())
            header.pop("__metadata__", None)
            return {name: _view(data[start:], entry) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is truncated or not safetensors ({error}): {_AGAIN}") from None


def _view(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(data):
        raise ValueError(f"a tensor should end at byte {last} of the data, which end at {len(data)}")
    raw = data[first:last]
    if entry["dtype"] == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    return raw.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
