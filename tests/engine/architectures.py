"""Tiny random models of every architecture, made by transformers, each field that is read away from its default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers

LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 20_000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 16.0,
    "beta_slow": 2.0,
}
DEEPSEEK_YARN = {**YARN, "mscale": 0.707, "mscale_all_dim": 0.9}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32}
LATENT = {
    "kv_lora_rank": 32,
    "q_lora_rank": None,
    "qk_nope_head_dim": 48,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, biases, head size": ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    "llama, linear scaling, eps": ("llama", {"rope_parameters": LINEAR, "rms_norm_eps": 0.1}),
    "llama, llama3 scaling, tied": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama, yarn": ("llama", {"rope_parameters": YARN}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, window, head size": ("mistral", {"sliding_window": 5, "head_dim": 32}),
    "qwen2": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "qwen2, windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "qwen2, layer types": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "qwen3": ("qwen3", {"head_dim": 32, "rms_norm_eps": 0.05}),
    "qwen3, biases, windows": (
        "qwen3",
        {"attention_bias": True, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "granite": ("granite", {"tie_word_embeddings": True}),
    "granite, multipliers": (
        "granite",
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.3,
            "logits_scaling": 8.0,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "gemma": ("gemma", {"head_dim": 32}),
    "gemma, untied, biases": ("gemma", {"tie_word_embeddings": False, "attention_bias": True}),
    "starcoder2": ("starcoder2", {}),
    "starcoder2, no biases, gelu, window": (
        "starcoder2",
        {
            "use_bias": False,
            "hidden_act": "gelu",
            "sliding_window": 6,
            "norm_epsilon": 0.1,
            "tie_word_embeddings": False,
        },
    ),
    "qwen3_moe": ("qwen3_moe", EXPERTS),
    "qwen3_moe, some layers, normalized": (
        "qwen3_moe",
        {**EXPERTS, "norm_topk_prob": True, "decoder_sparse_step": 2, "attention_bias": True},
    ),
    "qwen3_moe, dense layers by number": (
        "qwen3_moe",
        {**EXPERTS, "mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 5},
    ),
    "deepseek_v2": ("deepseek_v2", LATENT),
    "deepseek_v2, query rank, biases": (
        "deepseek_v2",
        {**LATENT, "q_lora_rank": 32, "attention_bias": True, "mlp_bias": True, "routed_scaling_factor": 2.5},
    ),
    "deepseek_v2, yarn, groups": (
        "deepseek_v2",
        {
            **LATENT,
            "rope_parameters": DEEPSEEK_YARN,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
        },
    ),
}

COMMON = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "eos_token_id": 7,
    "bos_token_id": 1,
    "pad_token_id": 0,
}


def make(
    case: str,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    *,
    sizes: Mapping[str, int] = MappingProxyType({}),
    **saving: Any,
) -> Any:
    """The model of a case with weights of unit gain, written into `folder`; as transformers' model.

    sizes: fields of the config in place of COMMON's.
    """
    model_type, special = CASES[case]
    kind = transformers.CONFIG_MAPPING[model_type]
    general = {**COMMON, **sizes}
    if model_type == "deepseek_v2":
        general["num_key_value_heads"] = general["num_attention_heads"]
    config = kind(**{**general, **special}, attn_implementation="eager")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.ndim == 1:
                center = 1.0 if "norm" in name and "bias" not in name and model_type != "gemma" else 0.0
                values.normal_(center, 0.2)
            else:
                values.normal_(0, values.shape[-1] ** -0.5)
    model.to(dtype).save_pretrained(folder, **saving)
    return model.float()


def logits(model: Any, tokens: list[int]) -> Any:
    """float32 [len(tokens), vocab_size]"""
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()
