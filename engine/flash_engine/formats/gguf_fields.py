"""GGUF's metadata as the fields of Hugging Face's config.json, which the architectures read."""

from __future__ import annotations

from typing import Any

from flash_engine.errors import ModelError
from flash_engine.formats.gguf_file import GgufFile

MODEL_TYPES = {
    "llama": "llama",
    "mistral3": "mistral",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "granite": "granite",
    "gemma": "gemma",
    "starcoder2": "starcoder2",
    "deepseek2": "deepseek_v2",
}
"""`general.architecture` -> `model_type`."""

_NAMES = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "norm_epsilon",
    "attention.sliding_window": "sliding_window",
    "rope.freq_base": "rope_theta",
    # Granite
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "attention.scale": "attention_multiplier",
    "logit_scale": "logits_scaling",
    # experts
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "expert_weights_scale": "routed_scaling_factor",
    "leading_dense_block_count": "first_k_dense_replace",
    "expert_group_count": "n_group",
    "expert_group_used_count": "topk_group",
    # latent attention
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
}


def config_fields(file: GgufFile) -> dict[str, Any]:
    """The fields of config.json. Raises ModelError if the architecture is not known."""
    architecture = file.metadata.get("general.architecture")
    if architecture not in MODEL_TYPES:
        raise ModelError(
            f"{file.path}: field 'general.architecture' is {architecture!r}, which is not supported "
            f"(supported: {', '.join(map(repr, MODEL_TYPES))})"
        )
    model_type = MODEL_TYPES[architecture]
    prefix = f"{architecture}."
    own = {
        name.removeprefix(prefix): value for name, value in file.metadata.items() if name.startswith(prefix)
    }
    fields = {_NAMES[name]: value for name, value in own.items() if name in _NAMES}
    attention_bias = any(f"blk.0.{part}.bias" in file.tensors for part in ("attn_q", "attn_kv_a_mqa"))
    embedding = file.tensors.get("token_embd.weight")
    fields |= {
        "model_type": model_type,
        "vocab_size": embedding.shape[0] if embedding else None,
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": attention_bias,
        "mlp_bias": "blk.0.ffn_up.bias" in file.tensors,
        "use_bias": attention_bias,
        "rope_scaling": _rope_scaling(file, own),
        "eos_token_id": _end_tokens(file),
    }
    if model_type == "deepseek_v2":
        fields |= _deepseek(own)
    if model_type == "qwen3_moe":
        fields |= _qwen_experts(file, own)
        fields.setdefault("intermediate_size", fields.get("moe_intermediate_size"))
    if model_type in ("qwen2", "qwen3", "qwen3_moe"):
        fields |= _qwen_windows(own)
    return fields


def _rope_scaling(file: GgufFile, own: dict[str, Any]) -> dict[str, Any] | None:
    divisors = file.tensors.get("rope_freqs.weight")
    if divisors is not None:
        return {"rope_type": "divisors", "divisors": divisors.data.view("<f4").ravel().tolist()}
    kind = own.get("rope.scaling.type", "none")
    if kind == "none":
        return None
    scaling = {
        "rope_type": kind,
        "factor": own.get("rope.scaling.factor"),
        "original_max_position_embeddings": own.get("rope.scaling.original_context_length"),
        "attention_factor": own.get("rope.scaling.attn_factor"),
        "beta_fast": own.get("rope.scaling.yarn_beta_fast"),
        "beta_slow": own.get("rope.scaling.yarn_beta_slow"),
    }
    multiplier = own.get("rope.scaling.yarn_log_multiplier")
    if multiplier is not None:
        # Written as a tenth of mscale_all_dim; the models that have it give mscale the same value.
        scaling |= {"mscale": 10 * multiplier, "mscale_all_dim": 10 * multiplier}
    return scaling


def _qwen_experts(file: GgufFile, own: dict[str, Any]) -> dict[str, Any]:
    """A layer has experts if it has what chooses them. llama.cpp divides by the sum without being told."""
    layers = range(own.get("block_count", 0))
    return {
        "num_experts": own.get("expert_count"),
        "norm_topk_prob": bool(own.get("expert_weights_norm", True)),
        "mlp_only_layers": [n for n in layers if f"blk.{n}.ffn_gate_inp.weight" not in file.tensors],
    }


def _qwen_windows(own: dict[str, Any]) -> dict[str, Any]:
    """By layer; a file that does not say which layers have a window has none."""
    windowed = own.get("attention.sliding_window_pattern")
    if not isinstance(windowed, list) or "attention.sliding_window" not in own:
        return {}
    kinds = ["sliding_attention" if each else "full_attention" for each in windowed]
    return {"use_sliding_window": True, "layer_types": kinds}


def _deepseek(own: dict[str, Any]) -> dict[str, Any]:
    key = own.get("attention.key_length_mla", own.get("attention.key_length", 0))
    return {
        "n_routed_experts": own.get("expert_count") or None,
        "qk_nope_head_dim": key - own.get("rope.dimension_count", 0),
        "v_head_dim": own.get("attention.value_length_mla", own.get("attention.value_length")),
        "topk_method": "group_limited_greedy" if own.get("expert_group_count", 1) > 1 else "greedy",
        "norm_topk_prob": bool(own.get("expert_weights_norm", False)),
    }


def _end_tokens(file: GgufFile) -> list[int]:
    names = ("eos_token_id", "eot_token_id", "eom_token_id")
    ids = [file.metadata.get(f"tokenizer.ggml.{name}") for name in names]
    return sorted({token for token in ids if token is not None})
