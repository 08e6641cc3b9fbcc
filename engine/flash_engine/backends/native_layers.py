"""A model's layers as the native engine has them, from a checkpoint."""

from __future__ import annotations

from flash_engine import _native
from flash_engine.backends.packing import LARGEST_GROUP, Packer
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import LatentAttention, MixtureOfExperts, ModelConfig

_NO_WINDOW = 2**31 - 1


def layer(checkpoint: Checkpoint, packer: Packer, index: int) -> _native.Layer:
    """Raises ModelError for weights that cannot be packed."""
    config, prefix = checkpoint.config, f"model.layers.{index}"
    return _native.Layer(
        attention_norm=norm(checkpoint, f"{prefix}.input_layernorm"),
        heads=_heads(checkpoint, packer, f"{prefix}.self_attn"),
        attention=_native.Attention(
            packer.linear(f"{prefix}.self_attn.o_proj"), config.sliding_window(index) or _NO_WINDOW
        ),
        feed_forward_norm=norm(checkpoint, f"{prefix}.post_attention_layernorm"),
        feed_forward=_feed_forward(checkpoint, packer, index),
    )


def norm(checkpoint: Checkpoint, name: str, epsilon: float | None = None) -> _native.Norm:
    """The layer norm or RMS norm `name`, with the config's epsilon unless given."""
    bias = f"{name}.bias"
    return _native.Norm(
        checkpoint.vector(f"{name}.weight").tolist(),
        checkpoint.vector(bias).tolist() if checkpoint.has(bias) else [],
        checkpoint.config.norm_eps if epsilon is None else epsilon,
    )


def _no_norm() -> _native.Norm:
    return _native.Norm([], [], 0.0)


def _heads(checkpoint: Checkpoint, packer: Packer, prefix: str) -> _native.HeadProjection:
    latent = checkpoint.config.mla
    if latent is None:
        return _joined_heads(checkpoint, packer, prefix)
    return _latent_heads(checkpoint, latent, packer, prefix)


def _latent_heads(
    checkpoint: Checkpoint, latent: LatentAttention, packer: Packer, prefix: str
) -> _native.LatentHeads:
    kv, small = f"{prefix}.kv_a_proj_with_mqa", latent.query_rank is not None
    return _native.LatentHeads(
        down=packer.linear(f"{prefix}.q_a_proj" if small else f"{prefix}.q_proj", kv),
        query_norm=norm(checkpoint, f"{prefix}.q_a_layernorm", latent.norm_eps) if small else _no_norm(),
        query_up=packer.linear(f"{prefix}.q_b_proj") if small else None,
        kv_norm=norm(checkpoint, f"{prefix}.kv_a_layernorm", latent.norm_eps),
        kv_up=packer.linear(f"{prefix}.kv_b_proj"),
        rope_dim=latent.rope_dim,
    )


def _joined_heads(checkpoint: Checkpoint, packer: Packer, prefix: str) -> _native.HeadProjection:
    norms = [
        norm(checkpoint, f"{prefix}.{part}_norm") if checkpoint.config.qk_norm else _no_norm()
        for part in "qk"
    ]
    qkv = packer.linear(*(f"{prefix}.{part}_proj" for part in "qkv"))
    return _native.JoinedHeads(qkv=qkv, query_norm=norms[0], key_norm=norms[1])


def _feed_forward(checkpoint: Checkpoint, packer: Packer, index: int) -> _native.FeedForward:
    moe, prefix = checkpoint.config.moe, f"model.layers.{index}.mlp"
    if moe is not None and index in moe.layers:
        return _experts(checkpoint.config, moe, packer, prefix)
    return _mlp(checkpoint.config, packer, prefix)


def _experts(config: ModelConfig, moe: MixtureOfExperts, packer: Packer, prefix: str) -> _native.Experts:
    """All that read the same activations have one group."""
    router, shared = f"{prefix}.gate", f"{prefix}.shared_experts"
    routed = [f"{prefix}.experts.{expert}" for expert in range(moe.experts)]
    readers = [*routed, shared] if moe.shared_intermediate_size else routed
    group = packer.common_group(router, *(name for each in readers for name in _inputs(config, each)))
    down_group = packer.common_group(*(f"{each}.down_proj" for each in routed))
    return _native.Experts(
        router=packer.linear(router, group=group),
        experts=[_mlp(config, packer, each, group, down_group) for each in routed],
        shared=_mlp(config, packer, shared, group) if moe.shared_intermediate_size else None,
        choice=_native.Choice(
            experts=moe.experts,
            per_token=moe.experts_per_token,
            groups=moe.groups,
            groups_per_token=moe.groups_per_token,
            normalize=moe.normalize,
            scale=moe.scale,
        ),
    )


def _mlp(
    config: ModelConfig,
    packer: Packer,
    prefix: str,
    group: int = LARGEST_GROUP,
    down_group: int = LARGEST_GROUP,
) -> _native.Mlp:
    inputs = _inputs(config, prefix)
    return _native.Mlp(
        input=packer.linear_in_turn(*inputs, group=group),
        down=packer.linear(f"{prefix}.down_proj", group=down_group),
        activation=_native.Activation[config.activation],
        gated=config.gated_mlp,
    )


def _inputs(config: ModelConfig, prefix: str) -> list[str]:
    """The matrices that make a feed-forward layer wider."""
    return [f"{prefix}.{part}_proj" for part in (("gate", "up") if config.gated_mlp else ("up",))]
