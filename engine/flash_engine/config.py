"""What a model computes, by its numbers and not by its name; read by flash_engine.architectures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flash_engine.rope import Rope

Norm = Literal["rms", "layer"]
Activation = Literal["silu", "gelu", "gelu_tanh"]


@dataclass(frozen=True, slots=True)
class MixtureOfExperts:
    """Feed-forward layers of which each token uses a few, chosen by softmax over a router's scores."""

    layers: tuple[int, ...]
    """The layers that have experts; the others are dense."""
    experts: int
    experts_per_token: int
    intermediate_size: int
    """Of one expert."""
    shared_intermediate_size: int = 0
    """Of the expert that every token uses besides; 0: there is none."""
    normalize: bool = False
    """Whether the chosen experts' probabilities are divided by their sum."""
    scale: float = 1.0
    """Factor of the chosen experts' sum."""
    groups: int = 1
    """Experts are chosen from the `groups_per_token` groups that hold the likeliest expert."""
    groups_per_token: int = 1


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """DeepSeek-V2's attention (DeepSeek-AI 2024): keys and values are projected from one small vector a token.

    A head's query and key have `nope_dim` values that positions do not turn, then `rope_dim` that they do, the
    latter shared by all heads of a key.
    """

    query_rank: int | None
    """Size of the queries' own latent vector; None: queries are projected from the hidden state."""
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    norm_eps: float = 1e-6
    """Of the RMS norms of the latent vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer with pre-normalization. Hugging Face's names, shortened where unambiguous.

    Constants that an architecture applies to weights (residual and logit multipliers, offsets of norms) are not
    here: a Checkpoint hands out weights that contain them.
    """

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int
    tie_embeddings: bool
    eos_ids: tuple[int, ...]
    rope: Rope
    norm_eps: float
    norm: Norm = "rms"
    """`layer`: with mean and bias."""
    qkv_bias: bool = False
    output_bias: bool = False
    """Of o_proj."""
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMS norm of each query and key head before the rotation."""
    activation: Activation = "silu"
    gated_mlp: bool = True
    """down(act(gate) * up); else down(act(up))."""
    embedding_multiplier: float = 1.0
    attention_multiplier: float | None = None
    """Factor of the scores; None: one over the root of the key size."""
    sliding_windows: tuple[int | None, ...] = ()
    """For each layer, how many positions attention reads, its own included; None: all. (): all, in every layer."""
    moe: MixtureOfExperts | None = None
    mla: LatentAttention | None = None

    @property
    def key_dim(self) -> int:
        """Values of one key head in the cache."""
        return self.head_dim if self.mla is None else self.mla.nope_dim + self.mla.rope_dim

    @property
    def value_dim(self) -> int:
        """Values of one value head in the cache."""
        return self.head_dim if self.mla is None else self.mla.value_dim

    @property
    def attention_scale(self) -> float:
        """Factor of the scores before softmax."""
        return self.key_dim**-0.5 if self.attention_multiplier is None else self.attention_multiplier

    def sliding_window(self, layer: int) -> int | None:
        """Positions that attention of `layer` reads, its own included; None: all."""
        return self.sliding_windows[layer] if self.sliding_windows else None
