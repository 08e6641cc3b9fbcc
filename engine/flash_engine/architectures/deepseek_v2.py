"""DeepSeek-V2: DeepSeek-Coder-V2-Lite. Latent attention and experts, of which some are shared."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture, Folding
from flash_engine.architectures.common import decoder, mscale
from flash_engine.config import LatentAttention, MixtureOfExperts, ModelConfig
from flash_engine.fields import Fields


def config(fields: Fields) -> ModelConfig:
    latent, bias = _latent(fields), fields.flag("attention_bias")
    heads = fields.count("num_attention_heads")
    return decoder(
        fields,
        head_dim=latent.rope_dim,
        num_kv_heads=heads,
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=fields.flag("mlp_bias"),
        attention_multiplier=(latent.nope_dim + latent.rope_dim) ** -0.5 * _sharpness(fields),
        moe=_experts(fields),
        mla=latent,
    )


def _latent(fields: Fields) -> LatentAttention:
    return LatentAttention(
        query_rank=fields.count("q_lora_rank") if fields.has("q_lora_rank") else None,
        kv_rank=fields.count("kv_lora_rank"),
        nope_dim=fields.count("qk_nope_head_dim"),
        rope_dim=fields.count("qk_rope_head_dim"),
        value_dim=fields.count("v_head_dim"),
    )


def _sharpness(fields: Fields) -> float:
    """Factor of the scores by YaRN, which this architecture applies on its own."""
    scaling = fields.section("rope_parameters") or fields.section("rope_scaling")
    if scaling is None or not scaling.has("mscale_all_dim"):
        return 1.0
    return mscale(scaling.number("factor"), scaling.number("mscale_all_dim")) ** 2


def _experts(fields: Fields) -> MixtureOfExperts | None:
    if not fields.has("n_routed_experts"):
        return None
    fields.only("scoring_func", "softmax", default="softmax")
    fields.only("norm_topk_prob", False, default=False)
    grouped = fields.choice("topk_method", {"greedy": False, "group_limited_greedy": True}, default="greedy")
    size, step = fields.count("moe_intermediate_size"), fields.count("moe_layer_freq", default=1)
    first = fields.index("first_k_dense_replace", default=0)
    layers = range(fields.count("num_hidden_layers"))
    return MixtureOfExperts(
        layers=tuple(layer for layer in layers if layer >= first and layer % step == 0),
        experts=fields.count("n_routed_experts"),
        experts_per_token=fields.count("num_experts_per_tok"),
        intermediate_size=size,
        shared_intermediate_size=size * fields.index("n_shared_experts", default=0),
        scale=fields.number("routed_scaling_factor", default=1.0),
        groups=fields.count("n_group") if grouped else 1,
        groups_per_token=fields.count("topk_group") if grouped else 1,
    )


DEEPSEEK_V2 = Architecture("deepseek_v2", config, lambda fields: Folding(adjacent_pairs=True))
