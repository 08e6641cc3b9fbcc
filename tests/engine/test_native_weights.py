"""The native backend on matrices of every format, alone and mixed, and on the variants of llama that it knows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from flash_engine import Logits, ModelError
from flash_engine.backends.reference import ReferenceBackend
from flash_engine.config import LatentAttention, MixtureOfExperts
from flash_engine.matrices import Matrix, Quantization
from flash_engine.rope import Rope, Yarn

from .made_up import Format, MadeUpCheckpoint, config_of

native = pytest.importorskip("flash_engine.backends.native", reason="flash_engine._native is not built")
_native = pytest.importorskip("flash_engine._native")

TOKENS = np.random.default_rng(1).integers(300, size=40).tolist()

EXPERTS = MixtureOfExperts(
    layers=(1,),
    experts=6,
    experts_per_token=2,
    intermediate_size=64,
    shared_intermediate_size=128,
    normalize=True,
)
LATENT = LatentAttention(query_rank=None, kv_rank=96, nope_dim=64, rope_dim=32, value_dim=32)

OTHER_EXPERTS = 0.05
"""Share of the tokens that rounding may send to other experts than the reference."""

FORMATS: dict[str, Format] = {
    "4 bit, groups of 128": Quantization(4, 128),
    "8 bit, groups of 32": Quantization(8, 32),
    "8 bit, groups of 64": Quantization(8, 64),
    "8 bit, groups of 128": Quantization(8, 128),
    "float16": np.float16,
    "float32": np.float32,
}
MIXED: dict[str, Format] = {
    "q_proj": Quantization(4, 64),
    "k_proj": Quantization(4, 32),
    "v_proj": Quantization(8, 32),
    "o_proj": np.float16,
    "gate_proj": Quantization(8, 64),
    "up_proj": Quantization(4, 128),
    "down_proj": Quantization(8, 128),
    "embed_tokens": Quantization(4, 64),
    "lm_head": Quantization(8, 64),
}
VARIANTS = {
    "biases, as Qwen2 has them": config_of(qkv_bias=True),
    "a bias of the attention output": config_of(qkv_bias=True, output_bias=True),
    "norms of queries and keys, heads of 128, as Qwen3": config_of(qk_norm=True, head_dim=128, num_heads=2),
    "multipliers, as Granite has them": config_of(embedding_multiplier=6.0, attention_multiplier=0.1),
    "YaRN": config_of(rope=Rope(1e4, Yarn(4.0, 256), magnitude=1.14)),
    "a sliding window beyond the context": config_of(sliding_windows=(64, None)),
    "a sliding window in one layer": config_of(sliding_windows=(17, None)),
    "a sliding window of the token itself": config_of(sliding_windows=(1, None)),
    "heads of 256 and GELU, as Gemma has them": config_of(
        head_dim=256, num_heads=2, num_kv_heads=1, activation="gelu_tanh", embedding_multiplier=11.3
    ),
    "layer norms, biases, no gate, as StarCoder2": config_of(
        norm="layer",
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
        activation="gelu_tanh",
        gated_mlp=False,
        sliding_windows=(20, 20),
    ),
    "experts, normalized, and one that all use": config_of(moe=EXPERTS),
    "more experts than lanes, of some groups": config_of(
        moe=dataclasses.replace(
            EXPERTS,
            experts=20,
            normalize=False,
            scale=3.0,
            groups=5,
            groups_per_token=2,
            shared_intermediate_size=0,
        )
    ),
    "latent attention": config_of(mla=LATENT, head_dim=32, num_kv_heads=4),
    "latent queries and experts": config_of(
        mla=dataclasses.replace(LATENT, query_rank=64),
        head_dim=32,
        num_kv_heads=4,
        qkv_bias=True,
        moe=EXPERTS,
    ),
    "exact GELU, a gate, biases of feed-forward layers": config_of(activation="gelu", mlp_bias=True),
}


def logits_of(backend: native.NativeBackend | ReferenceBackend, cuts: list[int]) -> Logits:
    cache = backend.new_cache()
    parts = np.split(np.array(TOKENS), cuts)
    return np.concatenate([backend.forward(part.tolist(), cache, logits=len(part)) for part in parts])


def check(checkpoint: MadeUpCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to the float64 reference, but where a near tie chose other experts; the same bits for every instruction set
    and cut."""

    def load(isa: str, threads: int) -> native.NativeBackend:
        monkeypatch.setenv(native.ISA_VARIABLE, isa)
        return native.NativeBackend.load(checkpoint, capacity=64, threads=threads)

    scalar = logits_of(load("scalar", 1), [1, 7, 20])
    exact = logits_of(ReferenceBackend.load(checkpoint, capacity=64), [])
    errors = np.sqrt(np.mean((scalar - exact) ** 2, axis=1)) / np.std(exact)
    assert np.median(errors) < 0.035
    assert np.mean(errors > 0.06) <= (OTHER_EXPERTS if checkpoint.config.moe else 0)
    for isa in _native.supported_isas():
        assert np.array_equal(logits_of(load(isa, 2), [16]), scalar), isa


@pytest.mark.parametrize("name", FORMATS)
def test_format(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(MadeUpCheckpoint(config_of(), lambda matrix: FORMATS[name]), monkeypatch)


def test_formats_mixed_by_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = MadeUpCheckpoint(
        config_of(tie_embeddings=False), lambda matrix: MIXED[matrix.rpartition(".")[2]]
    )
    check(checkpoint, monkeypatch)


def test_experts_of_formats_mixed_by_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one layer, groups of 32 and 64, 4, 8 and 16 bits."""

    def format_of(name: str) -> Format:
        module = name.rpartition(".")[2]
        if ".experts." in name:
            return Quantization(4 if "experts.2" in name else 8, 32 if "experts.3" in name else 64)
        return np.float16 if module in ("gate", "kv_b_proj") else MIXED.get(module, Quantization(8, 32))

    config = config_of(moe=EXPERTS, mla=LATENT, head_dim=32, num_kv_heads=4, tie_embeddings=False)
    check(MadeUpCheckpoint(config, format_of), monkeypatch)


def test_columns_that_only_groups_of_32_divide(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(hidden_size=96, intermediate_size=160)
    check(MadeUpCheckpoint(config, lambda matrix: np.float16), monkeypatch)


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(MadeUpCheckpoint(VARIANTS[name], lambda matrix: Quantization(8, 32)), monkeypatch)


def test_weights_beyond_float16_are_named() -> None:
    class Huge(MadeUpCheckpoint):
        def matrix(self, name: str) -> Matrix:
            return super().matrix(name).scaled(1e7)

    with pytest.raises(ModelError, match=r"model\.embed_tokens has values beyond float16"):
        native.NativeBackend.load(Huge(config_of(), lambda matrix: np.float32), capacity=64)
