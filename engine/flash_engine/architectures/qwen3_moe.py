"""Qwen3 with experts: Qwen3-Coder-30B-A3B."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import decoder, every_layer_window
from flash_engine.config import MixtureOfExperts, ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias")
    return decoder(
        fields,
        qkv_bias=bias,
        output_bias=bias,
        qk_norm=True,
        sliding_windows=every_layer_window(fields) if fields.flag("use_sliding_window") else (),
        moe=_experts(fields),
    )


def _experts(fields: Fields) -> MixtureOfExperts:
    step, dense = fields.count("decoder_sparse_step", default=1), fields.ids("mlp_only_layers")
    layers = range(fields.count("num_hidden_layers"))
    return MixtureOfExperts(
        layers=tuple(layer for layer in layers if (layer + 1) % step == 0 and layer not in dense),
        experts=fields.count("num_local_experts" if fields.has("num_local_experts") else "num_experts"),
        experts_per_token=fields.count("num_experts_per_tok"),
        intermediate_size=fields.count("moe_intermediate_size"),
        normalize=fields.flag("norm_topk_prob"),
    )


QWEN3_MOE = Architecture("qwen3_moe", config)
