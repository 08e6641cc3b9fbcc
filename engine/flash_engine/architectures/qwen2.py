"""Qwen2: Qwen2.5-Coder. A llama with biases of queries, keys and values, and sliding windows in some layers."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import decoder, layer_windows
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    return decoder(fields, qkv_bias=True, sliding_windows=layer_windows(fields))


QWEN2 = Architecture("qwen2", config)
