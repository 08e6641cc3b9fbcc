"""Qwen3, dense. A llama with RMS norms of each query and key head."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import decoder, layer_windows
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias")
    return decoder(
        fields,
        head_dim=fields.count("head_dim", default=128),
        qkv_bias=bias,
        output_bias=bias,
        qk_norm=True,
        sliding_windows=layer_windows(fields),
    )


QWEN3 = Architecture("qwen3", config)
