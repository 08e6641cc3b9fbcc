"""Llama and all that took its form: DeepSeek-Coder, CodeLlama, SmolLM2, Mellum, Seed-Coder, Granite Code."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import decoder
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias")
    return decoder(fields, qkv_bias=bias, output_bias=bias, mlp_bias=fields.flag("mlp_bias"))


LLAMA = Architecture("llama", config)
