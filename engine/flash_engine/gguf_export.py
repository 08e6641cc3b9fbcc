"""A model as a GGUF file, with the numbers it has, for llama.cpp and what is made of it.

4-bit affine groups become Q4_1 exactly: GGUF's Q4_1 stores float16 scale and minimum for every 32 values, MLX an affine
scale and bias for every group, so a group of 64 becomes two blocks with the same pair. 8-bit becomes Q8_0 (symmetric: a
small loss), 16 and 32 bit F16. The `llama` architecture of GGUF rotates adjacent pairs, Hugging Face's layout halves:
the rows of q and k are permuted accordingly. Needs the package gguf (the extra `gguf`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash_engine import bundled
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.errors import ModelError
from flash_engine.matrices import Matrix, QuantizedMatrix
from flash_engine.rope import Linear

_BLOCK = 32
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
"""model_type -> GGUF's name."""

_PRE_TOKENIZERS = {"llama": "smollm", "qwen2": "qwen2"}
"""GGUF's name for the pattern that cuts text before byte pairs are merged, for the byte-level tokenizers of these."""

_TENSORS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def export(folder: Path, out: Path, *, progress: Callable[[str, float], None]) -> None:
    """Write the model in `folder` to `out`. Raises ModelError if GGUF, as written here, cannot hold it."""
    try:
        import gguf
    except ImportError:
        raise ModelError("writing GGUF needs the package gguf: pip install 'flash-lsp[gguf]'") from None
    checkpoint = Checkpoint(folder)
    config = checkpoint.config
    kind = _supported(folder, config)
    partial = out.with_name(out.name + ".partial")
    writer = gguf.GGUFWriter(str(partial), kind)
    try:
        _describe(writer, folder.name, config)
        _add_tokenizer(writer, bundled.tokenizer_folder(folder) / "tokenizer.json", config, kind)
        _add_matrix(writer, "token_embd", checkpoint.matrix("model.embed_tokens"))
        if not config.tie_embeddings:
            _add_matrix(writer, "output", checkpoint.matrix("lm_head"))
        _add_vector(writer, "output_norm.weight", checkpoint.vector("model.norm.weight"))
        for layer in range(config.num_layers):
            progress(f"layer {layer}", layer / config.num_layers)
            _add_layer(writer, checkpoint, layer, permuted=kind == "llama")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)


def q4_1(matrix: QuantizedMatrix) -> NDArray[np.uint8]:
    """A 4-bit matrix [n, k] in GGUF's Q4_1 block layout: uint8 [n, k / 32 * 20]; exact."""
    rows, columns = matrix.shape
    codes = matrix.codes().reshape(rows, -1, _BLOCK)
    packed = codes[..., :16] | codes[..., 16:] << 4
    blocks = columns // _BLOCK
    repeat = blocks // matrix.scales.shape[1]
    parts = [np.repeat(part, repeat, 1).astype("<f2") for part in (matrix.scales, matrix.biases)]
    pair = np.stack(parts, axis=-1)
    return np.concatenate([pair.view(np.uint8).reshape(rows, blocks, 4), packed], axis=-1).reshape(rows, -1)


def adjacent_pairs(heads: int, rows: int) -> NDArray[np.intp]:
    """Which rows of a half-split q or k projection stand where in one that rotates adjacent pairs."""
    return np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).ravel()


def _supported(folder: Path, config: ModelConfig) -> str:
    kind = _ARCHITECTURES.get(config.model_type)
    if kind is None:
        known = ", ".join(_ARCHITECTURES)
        raise ModelError(
            f"{folder}: a {config.model_type} model cannot be written as GGUF here ({known} can)"
        )
    if kind == "llama" and (config.qkv_bias or config.output_bias or config.mlp_bias):
        raise ModelError(f"{folder}: a llama with biases cannot be written as GGUF")
    if not isinstance(config.rope.scaling, Linear | None) or config.rope.magnitude != 1:
        raise ModelError(f"{folder}: its RoPE scaling cannot be written as GGUF here (linear can)")
    if config.embedding_multiplier != 1 or config.attention_multiplier or any(config.sliding_windows):
        raise ModelError(f"{folder}: multipliers and sliding windows cannot be written as GGUF here")
    return kind


def _describe(writer: Any, name: str, config: ModelConfig) -> None:
    import gguf

    assert isinstance(config.rope.scaling, Linear | None)
    writer.add_name(name)
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope.theta)
    if config.rope.scaling is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope.scaling.factor)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, path: Path, config: ModelConfig, kind: str) -> None:
    import gguf

    rows = config.vocab_size
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw["model"].get("type") != "BPE" or (raw.get("decoder") or {}).get("type") != "ByteLevel":
        raise ModelError(f"{path}: only byte-level BPE tokenizers can be written as GGUF here")
    tokens, types = [f"[PAD{i}]" for i in range(rows)], [gguf.TokenType.UNUSED] * rows
    for token, index in raw["model"]["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for added in raw["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_PRE_TOKENIZERS[kind])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in raw["model"]["merges"]])
    writer.add_add_bos_token(False)
    if config.eos_ids:
        writer.add_eos_token_id(config.eos_ids[0])


def _add_layer(writer: Any, checkpoint: Checkpoint, layer: int, *, permuted: bool) -> None:
    config, source, target = checkpoint.config, f"model.layers.{layer}", f"blk.{layer}"
    heads = {"self_attn.q_proj": config.num_heads, "self_attn.k_proj": config.num_kv_heads}
    _add_vector(writer, f"{target}.attn_norm.weight", checkpoint.vector(f"{source}.input_layernorm.weight"))
    _add_vector(
        writer, f"{target}.ffn_norm.weight", checkpoint.vector(f"{source}.post_attention_layernorm.weight")
    )
    for name, short in _TENSORS.items():
        matrix = checkpoint.matrix(f"{source}.{name}")
        if permuted and name in heads:
            matrix = matrix.rows(adjacent_pairs(heads[name], matrix.shape[0]))
        _add_matrix(writer, f"{target}.{short}", matrix)
        if config.qkv_bias and name[10:] in ("q_proj", "k_proj", "v_proj"):
            _add_vector(writer, f"{target}.{short}.bias", checkpoint.vector(f"{source}.{name}.bias"))


def _add_matrix(writer: Any, name: str, matrix: Matrix) -> None:
    import gguf

    kinds = gguf.GGMLQuantizationType
    if isinstance(matrix, QuantizedMatrix) and matrix.bits == 4:
        writer.add_tensor(f"{name}.weight", q4_1(matrix), raw_dtype=kinds.Q4_1)
    elif isinstance(matrix, QuantizedMatrix):
        values = gguf.quants.quantize(matrix.dequantize().astype(np.float32), kinds.Q8_0)
        writer.add_tensor(f"{name}.weight", values, raw_dtype=kinds.Q8_0)
    else:
        writer.add_tensor(f"{name}.weight", matrix.values.astype(np.float16))


def _add_vector(writer: Any, name: str, values: NDArray[np.float32]) -> None:
    writer.add_tensor(name, values.astype(np.float32))
