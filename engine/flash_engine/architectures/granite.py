"""Granite 3. A llama with four multipliers."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture, Folding
from flash_engine.architectures.common import decoder
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias")
    return decoder(
        fields,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=fields.flag("mlp_bias"),
        embedding_multiplier=fields.number("embedding_multiplier", default=1.0),
        attention_multiplier=fields.number("attention_multiplier", default=1.0),
    )


def folding(fields: Fields) -> Folding:
    return Folding(
        residual=fields.number("residual_multiplier", default=1.0),
        logits=1 / fields.number("logits_scaling", default=1.0),
    )


GRANITE = Architecture("granite", config, folding)
