"""Write a 4-bit MLX-quantized llama folder as GGUF Q4_1. Runs in the peers' environment (needs `gguf`, `safetensors`).

Usage: to_gguf.py FOLDER OUT.gguf

Exact for groups that are a multiple of 32: GGUF's Q4_1 stores float16 scale and minimum for every 32 values, MLX an
affine scale and bias for every group, so a group of 64 becomes two blocks with the same pair. The `llama` architecture
of GGUF rotates adjacent pairs, Hugging Face's layout rotates halves: the rows of q and k are permuted accordingly.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Array = NDArray[Any]

BLOCK = 32


def q4_1(weight: Array, scales: Array, biases: Array) -> Array:
    """uint32 [n, k/8], float16 [n, k/group] twice -> uint8 [n, k/32 * 20] in GGUF's Q4_1 block layout."""
    n = weight.shape[0]
    nibbles = (
        np.stack([(weight >> (4 * i)) & 15 for i in range(8)], axis=-1).reshape(n, -1, BLOCK).astype(np.uint8)
    )
    blocks = nibbles.shape[1]
    packed = nibbles[..., :16] | (nibbles[..., 16:] << 4)
    repeat = blocks // scales.shape[1]
    pair = np.stack([np.repeat(scales, repeat, 1), np.repeat(biases, repeat, 1)], axis=-1).astype(np.float16)
    return np.concatenate([pair.view(np.uint8).reshape(n, blocks, 4), packed], axis=-1).reshape(n, -1)


def interleave(rows: Array, heads: int) -> Array:
    """Rows of q or k from half-split to adjacent-pair rotation, head by head."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def main(folder: Path, out: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]

    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_name(folder.name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    add_tokenizer(writer, folder / "tokenizer.json", config["vocab_size"])

    def quantized(target: str, source: str, permuted_heads: int = 0) -> None:
        parts = [tensors[f"{source}.{part}"] for part in ("weight", "scales", "biases")]
        if permuted_heads:
            parts = [interleave(part, permuted_heads) for part in parts]
        writer.add_tensor(f"{target}.weight", q4_1(*parts), raw_dtype=gguf.GGMLQuantizationType.Q4_1)

    def norm(target: str, source: str) -> None:
        writer.add_tensor(f"{target}.weight", tensors[f"{source}.weight"].astype(np.float32))

    quantized("token_embd", "model.embed_tokens")
    norm("output_norm", "model.norm")
    for layer in range(config["num_hidden_layers"]):
        target, source = f"blk.{layer}", f"model.layers.{layer}"
        norm(f"{target}.attn_norm", f"{source}.input_layernorm")
        norm(f"{target}.ffn_norm", f"{source}.post_attention_layernorm")
        quantized(f"{target}.attn_q", f"{source}.self_attn.q_proj", heads)
        quantized(f"{target}.attn_k", f"{source}.self_attn.k_proj", kv_heads)
        quantized(f"{target}.attn_v", f"{source}.self_attn.v_proj")
        quantized(f"{target}.attn_output", f"{source}.self_attn.o_proj")
        quantized(f"{target}.ffn_gate", f"{source}.mlp.gate_proj")
        quantized(f"{target}.ffn_up", f"{source}.mlp.up_proj")
        quantized(f"{target}.ffn_down", f"{source}.mlp.down_proj")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter, path: Path, rows: int) -> None:
    raw = json.loads(path.read_text())
    tokens, types = [f"[PAD{i}]" for i in range(rows)], [gguf.TokenType.UNUSED] * rows
    for token, index in raw["model"]["vocab"].items():
        tokens[index], types[index] = token, gguf.TokenType.NORMAL
    for added in raw["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in raw["model"]["merges"]])
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
