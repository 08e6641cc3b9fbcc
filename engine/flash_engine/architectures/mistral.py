"""Mistral: Codestral, Ministral. A llama with a sliding window in every layer, or none."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import decoder, every_layer_window
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    return decoder(fields, sliding_windows=every_layer_window(fields))


MISTRAL = Architecture("mistral", config)
