"""The shape of a model, read from its config.json; nothing is assumed that the file does not say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_engine.errors import ModelError


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: value = scale * q + bias, one scale and bias for `group_size` values along k."""

    bits: int
    group_size: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The llama family's hyper-parameters under their Hugging Face names, shortened where unambiguous."""

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    rope_factor: float
    """Linear RoPE scaling: positions are divided by this factor (1.0: none)."""
    max_positions: int
    tie_embeddings: bool
    attention_bias: bool
    eos_ids: tuple[int, ...]
    quantization: Quantization | None

    @classmethod
    def from_folder(cls, folder: Path) -> ModelConfig:
        """Read `folder`/config.json. Raises ModelError that names the file and the field."""
        path = folder / "config.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{path} is missing: give a folder that holds a model") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again") from None
        return cls.from_json(raw, path)

    @classmethod
    def from_json(cls, raw: dict[str, Any], path: Path) -> ModelConfig:
        def need(name: str) -> Any:
            if name not in raw:
                raise ModelError(
                    f"{path}: field {name!r} is missing: the file is incomplete, fetch the model again"
                )
            return raw[name]

        model_type = need("model_type")
        if model_type != "llama":
            raise ModelError(f"{path}: model_type {model_type!r} is not supported (supported: llama)")
        if raw.get("hidden_act", "silu") != "silu":
            raise ModelError(f"{path}: hidden_act {raw['hidden_act']!r} is not supported (supported: silu)")
        if raw.get("mlp_bias"):
            raise ModelError(f"{path}: mlp_bias is not supported")
        heads = need("num_attention_heads")
        hidden = need("hidden_size")
        eos = raw.get("eos_token_id")
        return cls(
            model_type=model_type,
            hidden_size=hidden,
            intermediate_size=need("intermediate_size"),
            num_layers=need("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=raw.get("num_key_value_heads", heads),
            head_dim=raw.get("head_dim") or hidden // heads,
            vocab_size=need("vocab_size"),
            rms_norm_eps=need("rms_norm_eps"),
            rope_theta=raw.get("rope_theta", 10_000.0),
            rope_factor=_linear_factor(raw.get("rope_scaling"), path),
            max_positions=need("max_position_embeddings"),
            tie_embeddings=raw.get("tie_word_embeddings", False),
            attention_bias=raw.get("attention_bias", False),
            eos_ids=tuple(eos) if isinstance(eos, list) else (() if eos is None else (eos,)),
            quantization=_quantization(raw.get("quantization") or raw.get("quantization_config"), path),
        )


def _linear_factor(scaling: dict[str, Any] | None, path: Path) -> float:
    if not scaling:
        return 1.0
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "default":
        return 1.0
    if kind != "linear":
        raise ModelError(f"{path}: rope_scaling of type {kind!r} is not supported (supported: linear)")
    return float(scaling["factor"])


def _quantization(raw: dict[str, Any] | None, path: Path) -> Quantization | None:
    if raw is None:
        return None
    mode = raw.get("mode", "affine")
    if mode != "affine":
        raise ModelError(f"{path}: quantization mode {mode!r} is not supported (supported: affine)")
    if (raw.get("bits"), raw.get("group_size")) not in {(4, 32), (4, 64)}:
        raise ModelError(
            f"{path}: quantization {raw.get('bits')} bit in groups of {raw.get('group_size')} "
            "is not supported (supported: 4 bit in groups of 32 or 64)"
        )
    return Quantization(bits=raw["bits"], group_size=raw["group_size"])
