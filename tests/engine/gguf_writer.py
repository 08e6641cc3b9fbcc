"""transformers' folders written as GGUF with llama.cpp's own package: names, types and layouts are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from flash_engine import architectures
from flash_engine.fields import Fields

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.MISTRAL3,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "qwen3_moe": gguf.MODEL_ARCH.QWEN3MOE,
    "granite": gguf.MODEL_ARCH.GRANITE,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "starcoder2": gguf.MODEL_ARCH.STARCODER2,
    "deepseek_v2": gguf.MODEL_ARCH.DEEPSEEK2,
}
PERMUTED = ("llama", "mistral", "granite")


def write(folder: Path, path: Path, kind: str = "F32", *, split: bool = False) -> Path:
    """Write the model in `folder` as `path`, its matrices of type `kind` where their rows have whole blocks of it.

    split: DeepSeek-V2's projections of latent keys and values in two tensors, as llama.cpp wants them since 2025.
    """
    raw = json.loads((folder / "config.json").read_text())
    arch = ARCHITECTURES[raw["model_type"]]
    writer = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[arch])
    _metadata(writer, raw, folder)
    names = gguf.get_tensor_name_map(arch, raw["num_hidden_layers"])
    others = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, raw["num_hidden_layers"])
    quantized = gguf.GGMLQuantizationType[kind]
    tensors = _stacked(load_file(folder / "model.safetensors"))
    for name, values in (_split(tensors, raw) if split else tensors).items():
        target = next(
            found
            for each in (names, others)
            if (found := each.get_name(name, try_suffixes=(".weight", ".bias")))
        )
        values = _as_converted(raw, name, values)
        block, _ = gguf.GGML_QUANT_SIZES[quantized]
        if values.ndim > 1 and values.shape[-1] % block == 0 and kind != "F32" and ".mlp.gate." not in name:
            writer.add_tensor(target, gguf.quants.quantize(values, quantized), raw_dtype=quantized)
        else:
            writer.add_tensor(target, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata(writer: gguf.GGUFWriter, raw: dict[str, Any], folder: Path) -> None:
    fields = Fields(raw, folder / "config.json")
    config = architectures.of(fields).config(fields)
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_layer_norm_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope.theta)
    _tokenizer(writer, config.vocab_size)
    if raw.get("sliding_window"):
        writer.add_sliding_window(raw["sliding_window"])
        if raw["model_type"] != "mistral" and config.sliding_windows:
            writer.add_sliding_window_pattern([window is not None for window in config.sliding_windows])
    if raw["model_type"] == "granite":
        writer.add_embedding_scale(raw["embedding_multiplier"])
        writer.add_residual_scale(raw["residual_multiplier"])
        writer.add_attention_scale(raw["attention_multiplier"])
        writer.add_logit_scale(raw["logits_scaling"])
    if config.moe is not None:
        writer.add_expert_count(config.moe.experts)
        writer.add_expert_used_count(config.moe.experts_per_token)
        writer.add_expert_feed_forward_length(config.moe.intermediate_size)
        if raw["model_type"] == "qwen3_moe":
            writer.add_expert_weights_norm(raw["norm_topk_prob"])
        if config.moe.groups > 1:
            writer.add_expert_group_count(config.moe.groups)
            writer.add_expert_group_used_count(config.moe.groups_per_token)
    if config.mla is None:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    else:
        writer.add_leading_dense_block_count(raw["first_k_dense_replace"])
        writer.add_expert_shared_count(raw["n_shared_experts"])
        writer.add_expert_weights_scale(raw["routed_scaling_factor"])
        writer.add_kv_lora_rank(config.mla.kv_rank)
        if config.mla.query_rank is not None:
            writer.add_q_lora_rank(config.mla.query_rank)
        writer.add_key_length(config.key_dim)
        writer.add_value_length(config.value_dim)
        writer.add_rope_dimension_count(config.mla.rope_dim)
    _rope(writer, raw, config.head_dim, config.rope)


def _tokenizer(writer: gguf.GGUFWriter, size: int) -> None:
    """Printable bytes, and a merge of two."""
    printable = [chr(code) for code in range(33, 127)] + [
        chr(code) for code in range(161, 256) if code != 173
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["ab", *printable][:size])
    writer.add_token_types([1] * size)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(7)


def _rope(writer: gguf.GGUFWriter, raw: dict[str, Any], dim: int, rope: Any) -> None:
    parameters = raw.get("rope_parameters") or {}
    match parameters.get("rope_type", "default"):
        case "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(parameters["factor"])
        case "llama3":
            plain = rope.theta ** (-np.arange(dim // 2) / (dim // 2))
            writer.add_tensor("rope_freqs.weight", (plain / rope.frequencies(dim)).astype(np.float32))
        case "yarn":
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(parameters["factor"])
            writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
            writer.add_rope_scaling_yarn_beta_fast(parameters["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(parameters["beta_slow"])
            if "mscale_all_dim" in parameters:
                writer.add_rope_scaling_yarn_log_mul(0.1 * parameters["mscale_all_dim"])


def _stacked(tensors: dict[str, Any]) -> dict[str, Any]:
    """The experts of a layer in one tensor, as llama.cpp wants them."""
    stacked, experts = {}, {}
    for name, values in tensors.items():
        if ".mlp.experts." in name:
            layer, _, rest = name.partition(".mlp.experts.")
            number, _, part = rest.partition(".")
            experts.setdefault(f"{layer}.mlp.experts.{part}", {})[int(number)] = values
        else:
            stacked[name] = values
    return stacked | {
        name: np.stack([parts[number] for number in sorted(parts)]) for name, parts in experts.items()
    }


def _split(tensors: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    changed = {}
    for name, values in tensors.items():
        if "kv_b_proj" in name:
            heads = values.reshape(raw["num_attention_heads"], -1, values.shape[-1])
            keys, rest = np.split(heads, [raw["qk_nope_head_dim"]], axis=1)
            changed[name.replace("kv_b_proj", "k_b_proj")] = np.ascontiguousarray(keys.swapaxes(1, 2))
            changed[name.replace("kv_b_proj", "v_b_proj")] = np.ascontiguousarray(rest)
        else:
            changed[name] = values
    return changed


def _as_converted(raw: dict[str, Any], name: str, values: Any) -> Any:
    model_type = raw["model_type"]
    if model_type in PERMUTED and ("q_proj" in name or "k_proj" in name):
        heads = raw["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
        return np.ascontiguousarray(
            values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        )
    if model_type == "gemma" and name.endswith("norm.weight"):
        return values + np.float32(1)
    return values
