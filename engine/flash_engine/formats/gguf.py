"""A GGUF file as a Source: tensors under Hugging Face's names and in Hugging Face's layout.

What llama.cpp's converter changes is changed back: llama's queries and keys have their rotary pairs adjacent, Gemma's
norms have one added.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine.errors import ModelError
from flash_engine.fields import AGAIN, Fields
from flash_engine.formats.changes import SAMPLE_ROWS, Changes
from flash_engine.formats.gguf_blocks import GROUP, convert, floats, quantization_of
from flash_engine.formats.gguf_fields import config_fields
from flash_engine.formats.gguf_file import GgufTensor, read_gguf
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, quantize

_MODEL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
_EXPERTS = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
_LAYER_NAME = re.compile(r"model\.layers\.(\d+)\.(.+)")
_EXPERT_NAME = re.compile(r"mlp\.experts\.(\d+)\.(\w+)")
_PERMUTED = ("llama", "mistral3", "granite")
"""Architectures whose queries and keys llama.cpp's converter reorders."""


class GgufSource:
    """A Source: see flash_engine.formats.source."""

    def __init__(self, path: Path) -> None:
        self._file = read_gguf(path)
        self._architecture = self._file.metadata.get("general.architecture")
        self.fields = Fields(config_fields(self._file), path)
        self.changes = Changes()

    @property
    def metadata(self) -> dict[str, Any]:
        return self._file.metadata

    def has(self, name: str) -> bool:
        stored = any(self._key(candidate)[0] in self._file.tensors for candidate in (name, f"{name}.weight"))
        return stored or self._split(name) is not None

    def file(self, name: str) -> Path:
        return self._file.path

    def check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        split = self._split(name)
        if split is not None:
            keys, values = split
            heads, rank = keys.shape[0], keys.shape[1]
            self._check(name, (heads * (keys.shape[2] + values.shape[1]), rank), shape)
            return
        tensor, expert = self._tensor(f"{name}.weight")
        self._check(name, tensor.shape if expert is None else tensor.shape[1:], shape)
        quantization = quantization_of(tensor.type.name)
        if quantization is not None and shape[1] % quantization.group_size:
            raise ModelError(
                f"{self._file.path}: tensor {name} has {shape[1]} columns, no multiple of "
                f"{quantization.group_size}: give the model in 16 bit"
            )

    def check_vector(self, name: str, shape: tuple[int]) -> None:
        tensor, _ = self._tensor(name)
        self._check(name, tensor.shape, shape)
        if quantization_of(tensor.type.name) is not None:
            raise ModelError(
                f"{self._file.path}: tensor {self._key(name)[0]} is {tensor.type.name}, not F32, F16 or BF16: {AGAIN}"
            )

    def check_complete(self, names: set[str]) -> None:
        """Nothing to check: tensors that are not asked for (a tied head, rotary tables) do no harm."""

    def quantization(self, name: str) -> Quantization | None:
        split = self._split(name)
        if split is not None:
            quantized = (
                any(quantization_of(part.type.name) for part in split) and split[0].shape[1] % GROUP == 0
            )
            return Quantization(8, GROUP) if quantized else None
        return quantization_of(self._tensor(f"{name}.weight")[0].type.name)

    def matrix(self, name: str) -> Matrix:
        split = self._split(name)
        if split is not None:
            whole, target = _joined(*split), self.quantization(name)
            return DenseMatrix(whole) if target is None else quantize(whole, target)
        tensor, expert = self._tensor(f"{name}.weight")
        first = 0 if expert is None else expert * tensor.shape[1]
        kind, target = tensor.type.name, quantization_of(tensor.type.name)
        if target is not None:
            sample = slice(first, first + min(SAMPLE_ROWS, tensor.shape[-2]))
            self.changes.add(kind, target.bits, floats(kind, tensor.data[sample]), convert(tensor, sample))
        order = self._order(name, tensor.shape[-2])
        return convert(tensor, slice(first, first + tensor.shape[-2]) if order is None else first + order)

    def vector(self, name: str) -> NDArray[Any]:
        tensor, _ = self._tensor(name)
        values = floats(tensor.type.name, tensor.data).ravel()
        module, _, part = name.rpartition(".")
        order = self._order(module, len(values)) if part == "bias" else None
        if order is not None:
            values = values[order]
        if self._architecture == "gemma" and part == "weight":
            values = values - np.float32(1)
        return values

    def _order(self, name: str, rows: int) -> NDArray[np.intp] | None:
        """For each row of Hugging Face's layout, which one of the file's it is; None: they are the same."""
        if self._architecture not in _PERMUTED or not name.endswith(("q_proj", "k_proj")):
            return None
        heads = "num_attention_heads" if name.endswith("q_proj") else "num_key_value_heads"
        return np.arange(rows).reshape(self.fields.count(heads), -1, 2).swapaxes(1, 2).ravel()

    def _split(self, name: str) -> tuple[GgufTensor, GgufTensor] | None:
        """attn_k_b [heads, kv_rank, nope_dim] and attn_v_b [heads, value_dim, kv_rank], which newer files have in place
        of attn_kv_b; None for other matrices."""
        key, _ = self._key(f"{name}.weight")
        if not key.endswith(".attn_kv_b.weight") or key in self._file.tensors:
            return None
        keys, values = (self._file.tensors.get(key.replace("kv_b", part)) for part in ("k_b", "v_b"))
        return (keys, values) if keys is not None and values is not None else None

    def _check(self, name: str, stored: tuple[int, ...], shape: tuple[int, ...]) -> None:
        if stored != shape:
            raise ModelError(
                f"{self._file.path}: tensor {self._key(name)[0]} has shape {list(stored)}, "
                f"by the metadata it should have {list(shape)}: {AGAIN}"
            )

    def _tensor(self, name: str) -> tuple[GgufTensor, int | None]:
        key, expert = self._key(name)
        tensor = self._file.tensors.get(key)
        if tensor is None:
            raise ModelError(f"{self._file.path} has no tensor {key}: {AGAIN}")
        return tensor, expert

    def _key(self, name: str) -> tuple[str, int | None]:
        """The stored tensor for Hugging Face's `name`, and which of its parts if it holds all experts of a layer."""
        module, dot, part = name.rpartition(".")
        if part not in ("weight", "bias"):
            module, dot, part = name, "", ""
        layer = _LAYER_NAME.fullmatch(module)
        if layer is None:
            return f"{_MODEL.get(module, module)}{dot}{part}", None
        expert = _EXPERT_NAME.fullmatch(layer[2])
        if expert is not None:
            return f"blk.{layer[1]}.{_EXPERTS.get(expert[2], expert[2])}{dot}{part}", int(expert[1])
        return f"blk.{layer[1]}.{_LAYER.get(layer[2], layer[2])}{dot}{part}", None


def _joined(keys: GgufTensor, values: GgufTensor) -> NDArray[np.float32]:
    """attn_kv_b [heads * (nope_dim + value_dim), kv_rank]: for each head its keys' rows, then its values'."""
    of_keys, of_values = (
        floats(part.type.name, part.data).astype(np.float32).reshape(part.shape) for part in (keys, values)
    )
    both = np.concatenate((of_keys.swapaxes(1, 2), of_values), axis=1)
    return both.reshape(-1, both.shape[-1])
