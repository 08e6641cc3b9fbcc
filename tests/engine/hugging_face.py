"""transformers' llama in float32 with a checkpoint's weights dequantized: the outside opinion."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from flash_engine import Checkpoint, Logits
from flash_engine.checkpoint import matrix_shapes, vector_shapes
from flash_engine.rope import Linear


class HuggingFaceModel:
    def __init__(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.config
        linear = config.rope.scaling
        scaling = {"rope_type": "linear", "factor": linear.factor} if isinstance(linear, Linear) else None
        with torch.device("meta"):
            self._model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=config.vocab_size,
                    hidden_size=config.hidden_size,
                    intermediate_size=config.intermediate_size,
                    num_hidden_layers=config.num_layers,
                    num_attention_heads=config.num_heads,
                    num_key_value_heads=config.num_kv_heads,
                    head_dim=config.head_dim,
                    rms_norm_eps=config.norm_eps,
                    rope_theta=config.rope.theta,
                    rope_scaling=scaling,
                    max_position_embeddings=config.max_positions,
                    tie_word_embeddings=config.tie_embeddings,
                    attention_bias=config.qkv_bias,
                )
            )
        self._model.model.rotary_emb = type(self._model.model.rotary_emb)(self._model.config)
        weights = {name: checkpoint.vector(name) for name in vector_shapes(config)}
        for name in matrix_shapes(config):
            weights[f"{name}.weight"] = checkpoint.matrix(name).dequantize().astype(np.float32)
        tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
        missing, unexpected = self._model.load_state_dict(tensors, strict=False, assign=True)
        assert unexpected == []
        assert missing == (["lm_head.weight"] if config.tie_embeddings else [])
        self._model.tie_weights()
        self._model.eval()

    def logits(self, tokens: list[int]) -> Logits:
        """float32 [len(tokens), vocab_size]"""
        with torch.no_grad():
            logits: Logits = self._model(torch.tensor([tokens])).logits[0].numpy()
        return logits
