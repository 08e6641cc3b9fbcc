"""The shape of a model, read from its config.json; nothing is assumed that the file does not say."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_engine.errors import ModelError


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: value = scale * q + bias, one scale and bias for `group_size` values along k."""

    bits: int
    group_size: int


_SUPPORTED = (Quantization(4, 32), Quantization(4, 64))
_AGAIN = "fetch the model again"


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
        if not isinstance(raw, dict):
            raise ModelError(f"{path} is not a JSON object: {_AGAIN}")
        return cls._from_fields(_Fields(raw, path))

    @classmethod
    def _from_fields(cls, fields: _Fields) -> ModelConfig:
        fields.only("model_type", "llama")
        fields.only("hidden_act", "silu", default="silu")
        fields.only("mlp_bias", False, default=False)
        rope = fields.section("rope_parameters")
        hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
        config = cls(
            model_type="llama",
            hidden_size=hidden,
            intermediate_size=fields.count("intermediate_size"),
            num_layers=fields.count("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=fields.count("num_key_value_heads", default=heads),
            head_dim=fields.count("head_dim", default=max(hidden // heads, 1)),
            vocab_size=fields.count("vocab_size"),
            rms_norm_eps=fields.number("rms_norm_eps"),
            rope_theta=(rope or fields).number("rope_theta", default=10_000.0),
            rope_factor=_linear_factor(rope or fields.section("rope_scaling")),
            max_positions=fields.count("max_position_embeddings"),
            tie_embeddings=fields.flag("tie_word_embeddings"),
            attention_bias=fields.flag("attention_bias"),
            eos_ids=fields.ids("eos_token_id"),
            quantization=_quantization(
                fields.section("quantization") or fields.section("quantization_config")
            ),
        )
        if config.num_heads % config.num_kv_heads:
            raise fields.error(
                "num_key_value_heads", f"does not divide the {config.num_heads} attention heads"
            )
        if config.head_dim % 2:
            raise fields.error("head_dim", f"is {config.head_dim}: rotary embedding needs an even number")
        return config


class _Fields:
    """Fields of a JSON object in a file; each reader raises ModelError that names the file and the field."""

    def __init__(self, raw: dict[str, Any], path: Path, parent: str = "") -> None:
        """`parent`: the section's name and a dot, for messages."""
        self._raw = raw
        self._path = path
        self._parent = parent

    def error(self, name: str, problem: str) -> ModelError:
        return ModelError(f"{self._path}: field '{self._parent}{name}' {problem}")

    def only(self, name: str, supported: str | bool, default: str | bool | None = None) -> None:
        """Require the one value that this engine knows."""
        value = self._get(name, default)
        if value != supported:
            raise self.error(name, f"is {value!r}, which is not supported (supported: {supported!r})")

    def count(self, name: str, default: int | None = None) -> int:
        value = self._get(name, default)
        if type(value) is not int or value < 1:
            raise self.error(name, f"is {value!r}, not a positive whole number: {_AGAIN}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self._get(name, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.error(name, f"is {value!r}, not a positive number: {_AGAIN}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._get(name, False)
        if type(value) is not bool:
            raise self.error(name, f"is {value!r}, not true or false: {_AGAIN}")
        return value

    def ids(self, name: str) -> tuple[int, ...]:
        """A token id, a list of them, or none."""
        value = self._get(name, [])
        ids = value if isinstance(value, list) else [value]
        if not all(type(token) is int for token in ids):
            raise self.error(name, f"is {value!r}, not token ids: {_AGAIN}")
        return tuple(ids)

    def section(self, name: str) -> _Fields | None:
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, f"is {value!r}, not a JSON object: {_AGAIN}")
        return _Fields(value, self._path, f"{name}.")

    def text(self, name: str, default: str) -> str:
        return str(self._get(name, default))

    def _get(self, name: str, default: Any) -> Any:
        value = self._raw.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, f"is missing: the file is incomplete, {_AGAIN}")
        return value


def _linear_factor(scaling: _Fields | None) -> float:
    if scaling is None:
        return 1.0
    kind = scaling.text("rope_type", default=scaling.text("type", default="default"))
    if kind == "default":
        return 1.0
    if kind != "linear":
        raise scaling.error("rope_type", f"is {kind!r}, which is not supported (supported: 'linear')")
    return scaling.number("factor")


def _quantization(fields: _Fields | None) -> Quantization | None:
    if fields is None:
        return None
    fields.only("mode", "affine", default="affine")
    quantization = Quantization(bits=fields.count("bits"), group_size=fields.count("group_size"))
    if quantization not in _SUPPORTED:
        raise fields.error(
            "bits",
            f"is {quantization.bits} in groups of {quantization.group_size}, which is not supported "
            "(supported: 4 bit in groups of 32 or 64)",
        )
    return quantization
