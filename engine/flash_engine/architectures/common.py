"""The fields that most architectures share, under their Hugging Face names."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flash_engine.config import Activation, ModelConfig
from flash_engine.fields import Fields
from flash_engine.rope import Divisors, Linear, Llama3, Rope, Yarn

SILU: dict[str, Activation] = {"silu": "silu", "swish": "silu"}
GELU: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}


def decoder(fields: Fields, **special: Any) -> ModelConfig:
    """The llama family's fields; `special`: values of ModelConfig in which an architecture differs."""
    hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    general: dict[str, Any] = {
        "model_type": fields.text("model_type"),
        "hidden_size": hidden,
        "intermediate_size": fields.count("intermediate_size"),
        "num_layers": fields.count("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": fields.count("num_key_value_heads", default=heads),
        "vocab_size": fields.count("vocab_size"),
        "max_positions": fields.count("max_position_embeddings"),
        "eos_ids": fields.ids("eos_token_id"),
    }
    readers: dict[str, Callable[[], Any]] = {
        "head_dim": lambda: fields.count("head_dim", default=max(hidden // heads, 1)),
        "tie_embeddings": lambda: fields.flag("tie_word_embeddings"),
        "norm_eps": lambda: fields.number("rms_norm_eps"),
        "activation": lambda: fields.choice("hidden_act", SILU, default="silu"),
        "rope": lambda: rope(fields),
    }
    general |= {name: read() for name, read in readers.items() if name not in special}
    config = ModelConfig(**(general | special))
    if config.num_heads % config.num_kv_heads:
        raise fields.error("num_key_value_heads", f"does not divide the {config.num_heads} attention heads")
    if config.head_dim % 2:
        raise fields.error("head_dim", f"is {config.head_dim}: rotary embedding needs an even number")
    return config


def layer_windows(fields: Fields) -> tuple[int | None, ...]:
    """Sliding windows of Qwen's models: by `layer_types`, else from layer `max_window_layers` on."""
    if not fields.flag("use_sliding_window"):
        return ()
    window, layers = fields.count("sliding_window", default=4096), fields.count("num_hidden_layers")
    types = fields.texts("layer_types")
    if not types:
        first = fields.index("max_window_layers", default=28)
        return tuple(window if layer >= first else None for layer in range(layers))
    if len(types) != layers or not set(types) <= {"full_attention", "sliding_attention"}:
        raise fields.error(
            "layer_types", f"should name 'full_attention' or 'sliding_attention' for each of {layers} layers"
        )
    return tuple(window if kind == "sliding_attention" else None for kind in types)


def every_layer_window(fields: Fields) -> tuple[int | None, ...]:
    """One sliding window for all layers, or none."""
    if not fields.has("sliding_window"):
        return ()
    return (fields.count("sliding_window"),) * fields.count("num_hidden_layers")


def rope(fields: Fields) -> Rope:
    """From `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling`."""
    parameters = fields.section("rope_parameters")
    theta = (parameters or fields).number("rope_theta", default=10_000.0)
    scaling = parameters or fields.section("rope_scaling")
    plain = Rope(theta)
    if scaling is None:
        return plain
    name = "rope_type" if scaling.has("rope_type") else "type"
    kinds = {"default": _default, "linear": _linear, "llama3": _llama3, "divisors": _divisors, "yarn": _yarn}
    read = scaling.choice(name, kinds, default="default")
    return read(plain, scaling, fields.count("max_position_embeddings"))


def _default(plain: Rope, scaling: Fields, positions: int) -> Rope:
    return plain


def _linear(plain: Rope, scaling: Fields, positions: int) -> Rope:
    return replace(plain, scaling=Linear(scaling.number("factor")))


def _llama3(plain: Rope, scaling: Fields, positions: int) -> Rope:
    low, high = scaling.number("low_freq_factor"), scaling.number("high_freq_factor")
    if not low < high:
        raise scaling.error("high_freq_factor", f"is {high}, which should exceed low_freq_factor ({low})")
    original = scaling.count("original_max_position_embeddings")
    return replace(plain, scaling=Llama3(scaling.number("factor"), low, high, original))


def _divisors(plain: Rope, scaling: Fields, positions: int) -> Rope:
    return replace(plain, scaling=Divisors(scaling.numbers("divisors")))


def _yarn(plain: Rope, scaling: Fields, positions: int) -> Rope:
    factor = scaling.number("factor")
    original = scaling.count("original_max_position_embeddings", default=positions)
    yarn = Yarn(
        factor,
        original,
        scaling.number("beta_fast", default=32.0),
        scaling.number("beta_slow", default=1.0),
        scaling.flag("truncate", default=True),
    )
    both = scaling.has("mscale") and scaling.has("mscale_all_dim")
    magnitude = (
        mscale(factor, scaling.number("mscale")) / mscale(factor, scaling.number("mscale_all_dim"))
        if both
        else mscale(factor, 1.0)
    )
    return replace(plain, scaling=yarn, magnitude=scaling.number("attention_factor", default=magnitude))


def mscale(factor: float, weight: float) -> float:
    """YaRN's growth of the attention's sharpness with the factor of the context."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0
