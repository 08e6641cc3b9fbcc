"""Gemma: CodeGemma. A llama with GELU, scaled embeddings, and norm weights stored less one."""

from __future__ import annotations

import math

from flash_engine.architectures.architecture import Architecture, Folding
from flash_engine.architectures.common import decoder
from flash_engine.config import Activation, ModelConfig
from flash_engine.fields import Fields

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
"""Gemma's releases say `gelu` and mean its tanh approximation."""


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias")
    name = "hidden_activation" if fields.has("hidden_activation") else "hidden_act"
    return decoder(
        fields,
        head_dim=fields.count("head_dim", default=256),
        tie_embeddings=fields.flag("tie_word_embeddings", default=True),
        qkv_bias=bias,
        output_bias=bias,
        activation=fields.choice(name, _ACTIVATIONS, default="gelu_pytorch_tanh"),
        embedding_multiplier=math.sqrt(fields.count("hidden_size")),
    )


GEMMA = Architecture("gemma", config, lambda fields: Folding(norm_offset=1.0))
