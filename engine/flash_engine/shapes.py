"""The tensors that a model has by its config, under their canonical names: Hugging Face's for llama.

What llama lacks is called as the first architecture that had it calls it: q_norm and k_norm (Qwen3), mlp.gate and
mlp.experts.N (Qwen3 MoE), mlp.shared_experts and the latent projections (DeepSeek-V2).
"""

from __future__ import annotations

from flash_engine.config import LatentAttention, ModelConfig

ROUTER = ".mlp.gate"
"""What the name of a matrix that chooses experts ends with: small, and never quantized, for a wrong choice costs more
than a wrong weight."""


def matrix_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Name -> (n, k) of every weight matrix of the model `config` describes."""
    shapes = {"model.embed_tokens": (config.vocab_size, config.hidden_size)}
    if not config.tie_embeddings:
        shapes["lm_head"] = (config.vocab_size, config.hidden_size)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes |= _attention(config, f"{prefix}.self_attn")
        if config.moe is not None and layer in config.moe.layers:
            shapes |= _experts(config, f"{prefix}.mlp")
        else:
            shapes |= _mlp(config, f"{prefix}.mlp", config.intermediate_size)
    return shapes


def share_read(config: ModelConfig, name: str) -> float:
    """Share of the tokens that read the matrix `name`: below 1 for experts that a router chooses."""
    if config.moe is None or ".mlp.experts." not in name:
        return 1.0
    return config.moe.experts_per_token / config.moe.experts


def vector_shapes(config: ModelConfig) -> dict[str, tuple[int]]:
    """Name -> (n,) of the weights and biases of norms, and of the biases of matrices."""
    shapes = _norm(config, "model.norm")
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes |= _norm(config, f"{prefix}.input_layernorm")
        shapes |= _norm(config, f"{prefix}.post_attention_layernorm")
        if config.qk_norm:
            for norm in ("q_norm", "k_norm"):
                shapes[f"{prefix}.self_attn.{norm}.weight"] = (config.head_dim,)
        if config.mla is not None:
            shapes[f"{prefix}.self_attn.kv_a_layernorm.weight"] = (config.mla.kv_rank,)
            if config.mla.query_rank is not None:
                shapes[f"{prefix}.self_attn.q_a_layernorm.weight"] = (config.mla.query_rank,)
    return shapes | {
        f"{name}.bias": (rows,)
        for name, (rows, _) in matrix_shapes(config).items()
        if _has_bias(config, name)
    }


def _attention(config: ModelConfig, prefix: str) -> dict[str, tuple[int, int]]:
    hidden = config.hidden_size
    queries, keys = config.num_heads * config.key_dim, config.num_kv_heads * config.key_dim
    output = {f"{prefix}.o_proj": (hidden, config.num_heads * config.value_dim)}
    if config.mla is None:
        return {
            f"{prefix}.q_proj": (queries, hidden),
            f"{prefix}.k_proj": (keys, hidden),
            f"{prefix}.v_proj": (keys, hidden),
        } | output
    return _latent(config, config.mla, prefix, queries) | output


def _latent(
    config: ModelConfig, latent: LatentAttention, prefix: str, queries: int
) -> dict[str, tuple[int, int]]:
    hidden = config.hidden_size
    shapes = {
        f"{prefix}.kv_a_proj_with_mqa": (latent.kv_rank + latent.rope_dim, hidden),
        f"{prefix}.kv_b_proj": (config.num_heads * (latent.nope_dim + latent.value_dim), latent.kv_rank),
    }
    if latent.query_rank is None:
        return {f"{prefix}.q_proj": (queries, hidden)} | shapes
    return {
        f"{prefix}.q_a_proj": (latent.query_rank, hidden),
        f"{prefix}.q_b_proj": (queries, latent.query_rank),
    } | shapes


def _mlp(config: ModelConfig, prefix: str, size: int) -> dict[str, tuple[int, int]]:
    hidden = config.hidden_size
    gate = {f"{prefix}.gate_proj": (size, hidden)} if config.gated_mlp else {}
    return gate | {f"{prefix}.up_proj": (size, hidden), f"{prefix}.down_proj": (hidden, size)}


def _experts(config: ModelConfig, prefix: str) -> dict[str, tuple[int, int]]:
    moe = config.moe
    assert moe is not None
    shapes = {f"{prefix}.gate": (moe.experts, config.hidden_size)}
    for expert in range(moe.experts):
        shapes |= _mlp(config, f"{prefix}.experts.{expert}", moe.intermediate_size)
    if moe.shared_intermediate_size:
        shapes |= _mlp(config, f"{prefix}.shared_experts", moe.shared_intermediate_size)
    return shapes


def _norm(config: ModelConfig, name: str) -> dict[str, tuple[int]]:
    weight = {f"{name}.weight": (config.hidden_size,)}
    return weight | ({f"{name}.bias": (config.hidden_size,)} if config.norm == "layer" else {})


def _has_bias(config: ModelConfig, name: str) -> bool:
    module = name.rpartition(".")[2]
    if ".mlp." in name:
        return config.mlp_bias and ".experts." not in name and module != "gate"
    if module == "o_proj":
        return config.output_bias
    latent = config.mla is not None
    return config.qkv_bias and module in (
        ("q_a_proj", "kv_a_proj_with_mqa") if latent else ("q_proj", "k_proj", "v_proj")
    )
