"""Random llama checkpoints of a few thousand parameters, written as MLX writes quantized models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from flash_engine import architectures
from flash_engine.config import ModelConfig
from flash_engine.fields import Fields
from flash_engine.shapes import matrix_shapes, vector_shapes


@dataclass(frozen=True)
class Shape:
    """What to vary in a tiny llama; everything else is fixed."""

    hidden: int = 64
    ffn: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    vocab: int = 300
    group: int = 32
    tied: bool = True
    bias: bool = False
    rope_factor: float = 1.0
    positions: int = 4096


def write_checkpoint(folder: Path, shape: Shape = Shape(), seed: int = 0) -> Path:
    """Write config.json and model.safetensors of a random llama into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = {
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "rope_scaling": None if shape.rope_factor == 1 else {"type": "linear", "factor": shape.rope_factor},
        "max_position_embeddings": shape.positions,
        "tie_word_embeddings": shape.tied,
        "attention_bias": shape.bias,
        "eos_token_id": 0,
        "quantization": {"group_size": shape.group, "bits": 4, "mode": "affine"},
    }
    (folder / "config.json").write_text(json.dumps(raw))
    config = architectures.of(Fields(raw, folder)).config(Fields(raw, folder))
    save_file(random_tensors(config, shape.group, seed), folder / "model.safetensors")
    return folder


def random_tensors(config: ModelConfig, group: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Weights of unit gain: the logits of random tokens spread by about one."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, (rows, columns) in matrix_shapes(config).items():
        groups = (rows, columns // group)
        scales = rng.uniform(0.5, 1.5, groups) / (4.6 * np.sqrt(columns)) * rng.choice((-1, 1), groups)
        tensors[f"{name}.weight"] = rng.integers(0, 2**32, (rows, columns // 8), dtype=np.uint32)
        tensors[f"{name}.scales"] = scales.astype(np.float16)
        tensors[f"{name}.biases"] = (scales * -7.5).astype(np.float16)
    for name, (size,) in vector_shapes(config).items():
        center = 0.0 if name.endswith(".bias") else 1.0
        tensors[name] = (center + rng.normal(0, 0.1, size)).astype(np.float16)
    return tensors
