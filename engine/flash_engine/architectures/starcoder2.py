"""StarCoder2. Layer norms with biases, biases everywhere, a feed-forward layer without gate."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture
from flash_engine.architectures.common import GELU, decoder, every_layer_window
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    bias = fields.flag("use_bias", default=True)
    return decoder(
        fields,
        tie_embeddings=fields.flag("tie_word_embeddings", default=True),
        norm="layer",
        norm_eps=fields.number("norm_epsilon", default=1e-5),
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=bias,
        activation=fields.choice("hidden_act", GELU, default="gelu_pytorch_tanh"),
        gated_mlp=False,
        sliding_windows=every_layer_window(fields),
    )


STARCODER2 = Architecture(
    "starcoder2", config, names={".mlp.up_proj": ".mlp.c_fc", ".mlp.down_proj": ".mlp.c_proj"}
)
