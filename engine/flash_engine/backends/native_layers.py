"""A model's layers as the native engine has them, from a checkpoint."""

from __future__ import annotations

from flash_engine import _native
from flash_engine.backends.packing import Packer
from flash_engine.checkpoint import Checkpoint

_NO_WINDOW = 2**31 - 1
_NO_NORM = _native.Norm([], [], 0.0)


def layer(checkpoint: Checkpoint, packer: Packer, index: int) -> _native.Layer:
    """Raises ModelError for weights that cannot be packed."""
    config, prefix = checkpoint.config, f"model.layers.{index}"
    return _native.Layer(
        attention_norm=norm(checkpoint, f"{prefix}.input_layernorm"),
        heads=_joined_heads(checkpoint, packer, f"{prefix}.self_attn"),
        attention=_native.Attention(
            packer.linear(f"{prefix}.self_attn.o_proj"), config.sliding_window(index) or _NO_WINDOW
        ),
        feed_forward_norm=norm(checkpoint, f"{prefix}.post_attention_layernorm"),
        feed_forward=_mlp(checkpoint, packer, f"{prefix}.mlp"),
    )


def norm(checkpoint: Checkpoint, name: str, epsilon: float | None = None) -> _native.Norm:
    """The layer norm or RMS norm `name`, with the config's epsilon unless given."""
    bias = f"{name}.bias"
    return _native.Norm(
        checkpoint.vector(f"{name}.weight").tolist(),
        checkpoint.vector(bias).tolist() if checkpoint.has(bias) else [],
        checkpoint.config.norm_eps if epsilon is None else epsilon,
    )


def _joined_heads(checkpoint: Checkpoint, packer: Packer, prefix: str) -> _native.HeadProjection:
    norms = [
        norm(checkpoint, f"{prefix}.{part}_norm") if checkpoint.config.qk_norm else _NO_NORM for part in "qk"
    ]
    qkv = packer.linear(*(f"{prefix}.{part}_proj" for part in "qkv"))
    return _native.JoinedHeads(qkv=qkv, query_norm=norms[0], key_norm=norms[1])


def _mlp(checkpoint: Checkpoint, packer: Packer, prefix: str) -> _native.Mlp:
    config, up = checkpoint.config, f"{prefix}.up_proj"
    return _native.Mlp(
        input=packer.linear_in_turn(f"{prefix}.gate_proj", up) if config.gated_mlp else packer.linear(up),
        down=packer.linear(f"{prefix}.down_proj"),
        activation=_native.Activation[config.activation],
        gated=config.gated_mlp,
    )
