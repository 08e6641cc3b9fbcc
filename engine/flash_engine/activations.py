"""What goes into each matrix of a model while it reads text: a float32 pass over all tokens at once, layer by layer.

For calibration only: no cache, one layer's weights in memory at a time. The llama family: RMS norms, SiLU, one set of
matrices a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash_engine.architectures import Folding
from flash_engine.checkpoint import Checkpoint
from flash_engine.matrices import row_slices

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a layer's matrices, float32, a row for each token."""

    attention: Array
    """[tokens, hidden_size]: of q_proj, k_proj and v_proj."""
    output: Array
    """[tokens, heads * head_dim]: of o_proj."""
    mlp: Array
    """[tokens, hidden_size]: of gate_proj and up_proj."""
    down: Array
    """[tokens, intermediate_size]: of down_proj."""
    attention_share: float
    """Mean over the tokens of the squares of what attention adds to the residual stream, over the stream's own."""
    mlp_share: float
    """The same of what the feed-forward layer adds."""


def computable(checkpoint: Checkpoint) -> bool:
    """Whether this pass knows the model's architecture."""
    config = checkpoint.config
    plain = config.norm == "rms" and config.activation == "silu" and config.gated_mlp
    return (
        plain
        and config.moe is None
        and config.mla is None
        and config.embedding_multiplier == 1
        and checkpoint.folding == Folding()
    )


class Pass:
    """One pass of `texts` (tokens of each; attention stays within a text) through a model that is `computable`."""

    def __init__(self, checkpoint: Checkpoint, texts: Sequence[Sequence[int]]) -> None:
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        ends = np.cumsum([len(text) for text in texts]).tolist()
        self._texts = [slice(first, end) for first, end in zip([0, *ends], ends, strict=False)]
        tokens = np.concatenate([np.asarray(text, np.intp) for text in texts])
        self._hidden = _floats(checkpoint.stored_matrix("model.embed_tokens").rows(tokens).dequantize())

    def layers(self) -> Iterator[Inputs]:
        """The inputs of each layer in turn."""
        for layer in range(self._config.num_layers):
            yield self._layer(layer)

    def _layer(self, layer: int) -> Inputs:
        prefix = f"model.layers.{layer}"
        attention = self._norm(f"{prefix}.input_layernorm", self._hidden)
        output = self._attention(f"{prefix}.self_attn", attention, self._config.sliding_window(layer))
        attention_share = self._add(self._linear(f"{prefix}.self_attn.o_proj", output))
        mlp = self._norm(f"{prefix}.post_attention_layernorm", self._hidden)
        gate = self._linear(f"{prefix}.mlp.gate_proj", mlp)
        down = gate / (1 + np.exp(-gate)) * self._linear(f"{prefix}.mlp.up_proj", mlp)
        mlp_share = self._add(self._linear(f"{prefix}.mlp.down_proj", down))
        return Inputs(attention, output, mlp, down, attention_share, mlp_share)

    def _add(self, x: Array) -> float:
        """Add to the residual stream; the share of it that `x` is."""
        self._hidden = self._hidden + x
        return float(np.mean(np.square(x).sum(-1) / np.square(self._hidden).sum(-1)))

    def logits(self) -> Array:
        """[tokens, vocab_size], once the layers are through."""
        head = "model.embed_tokens" if self._config.tie_embeddings else "lm_head"
        return self._linear(head, self._norm("model.norm", self._hidden))

    def _attention(self, prefix: str, x: Array, window: int | None) -> Array:
        config = self._config
        queries, keys, values = (
            self._linear(f"{prefix}.{part}_proj", x).reshape(len(x), -1, config.head_dim) for part in "qkv"
        )
        if config.qk_norm:
            queries, keys = self._norm(f"{prefix}.q_norm", queries), self._norm(f"{prefix}.k_norm", keys)
        shared = config.num_heads // config.num_kv_heads
        mixed = np.empty_like(queries)
        for text in self._texts:
            keys_here = self._rotated(keys[text])
            scores = np.float32(config.attention_scale) * np.einsum(
                "qgsd,kgd->gsqk",
                self._rotated(queries[text]).reshape(-1, config.num_kv_heads, shared, config.head_dim),
                keys_here,
                optimize=True,
            )
            distance = np.arange(len(keys_here))[:, None] - np.arange(len(keys_here))
            unseen = (distance < 0) | (distance >= (window or len(keys_here)))
            scores[..., unseen] = -np.inf
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
            mixed[text] = np.einsum("gsqk,kgd->qgsd", shares, values[text], optimize=True).reshape(
                -1, config.num_heads, config.head_dim
            )
        return mixed.reshape(len(x), -1)

    def _rotated(self, heads: Array) -> Array:
        """[tokens, heads, head_dim] of one text, turned by its positions; pairs are (i, i + head_dim / 2)."""
        rope, half = self._config.rope, self._config.head_dim // 2
        angles = np.outer(np.arange(len(heads)), rope.frequencies(2 * half))[:, None]
        cos, sin = (_floats(rope.magnitude * turn(angles)) for turn in (np.cos, np.sin))
        first, second = heads[..., :half], heads[..., half:]
        return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)

    def _linear(self, name: str, x: Array) -> Array:
        matrix = self._checkpoint.stored_matrix(name)
        result = np.empty((len(x), matrix.shape[0]), np.float32)
        for rows in row_slices(*matrix.shape):
            result[:, rows] = x @ _floats(matrix.rows(rows).dequantize()).T
        return result + self._vector(f"{name}.bias") if self._checkpoint.has(f"{name}.bias") else result

    def _norm(self, name: str, x: Array) -> Array:
        normal: Array = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(self._config.norm_eps))
        return normal * self._vector(f"{name}.weight")

    def _vector(self, name: str) -> Array:
        return _floats(self._checkpoint.stored_vector(name))


def _floats(values: NDArray[np.floating]) -> Array:
    return values.astype(np.float32)
