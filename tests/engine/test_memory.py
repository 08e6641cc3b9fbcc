"""The memory plan, over a table of machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from flash_engine import CapacityError, Checkpoint, Engine, bundled, memory
from flash_engine.backends.native import NativeBackend
from flash_engine.config import LatentAttention, MixtureOfExperts
from flash_engine.devices import container_room, working_set
from flash_engine.matrices import Quantization
from flash_engine.memory import Footprint, footprint, plan

from .conftest import NATIVE
from .made_up import MadeUpCheckpoint, config_of

GIB = 2**30
MAC_WORKING_SETS = {16: 11453.25e6, 24: 17179.87e6, 48: 38654.71e6, 64: 51539.61e6}
"""GB of a Mac -> what Metal recommends at most, as llama.cpp's logs on such machines print it."""

# Shapes from the models' published config.json.
DEEPSEEK_7B = footprint(
    6_740_000_000, layers=32, hidden=4096, ffn=11008, kv_heads=32, head_dim=128, vocab=32256, positions=16384
)
DEEPSEEK_1B = footprint(
    1_346_000_000, layers=24, hidden=2048, ffn=5504, kv_heads=16, head_dim=128, vocab=32256, positions=16384
)
DEEPSEEK_33B = footprint(
    33_340_000_000, layers=62, hidden=7168, ffn=19200, kv_heads=8, head_dim=128, vocab=32256, positions=16384
)
QWEN_7B = footprint(
    7_615_000_000, layers=28, hidden=3584, ffn=18944, kv_heads=4, head_dim=128, vocab=152064, positions=32768
)
CODESTRAL_22B = footprint(
    22_250_000_000, layers=56, hidden=6144, ffn=16384, kv_heads=8, head_dim=128, vocab=32768, positions=32768
)
QWEN_30B_A3B = footprint(
    30_532_000_000, layers=48, hidden=2048, ffn=6144, kv_heads=4, head_dim=128, vocab=151936, positions=262144,
    active=3_352_000_000,
)  # fmt: skip
DEEPSEEK_V2_LITE = footprint(
    15_706_000_000, layers=27, hidden=2048, ffn=10944, kv_heads=16, head_dim=160, vocab=102400, positions=163840,
    active=2_661_000_000,
)  # fmt: skip
"""Heads of 192 for keys and 128 for values, expanded: 580 MB for 4,096 tokens."""
MODELS = {
    "30B-A3B": QWEN_30B_A3B, "V2-Lite": DEEPSEEK_V2_LITE,
    "1.3B": DEEPSEEK_1B, "6.7B": DEEPSEEK_7B, "7B": QWEN_7B, "22B": CODESTRAL_22B, "33B": DEEPSEEK_33B,
}  # fmt: skip


def test_deepseek_fits_its_budget_with_and_without_its_draft() -> None:
    alone = plan(DEEPSEEK_7B, working_set=16 * GIB, context=4096)
    assert alone.total <= 5.2e9
    assert alone.kv == 2 * 32 * 32 * (128 + 4) * 4096
    both = plan(DEEPSEEK_7B, DEEPSEEK_1B, working_set=16 * GIB, context=4096)
    assert both.total <= 6.3e9
    assert both.total - alone.total == both.draft_weights + both.draft_kv


@pytest.mark.parametrize(
    ("gigabytes", "model", "context", "caches"),
    [
        (16, "1.3B", 4096, 8), (16, "6.7B", 4096, 6), (16, "7B", 4096, 8), (16, "22B", None, 0), (16, "33B", None, 0),
        (16, "V2-Lite", 4096, 4), (24, "V2-Lite", 4096, 8), (24, "30B-A3B", None, 0), (48, "30B-A3B", 4096, 8),
        (24, "6.7B", 4096, 8), (24, "22B", 4096, 8), (24, "33B", None, 0),
        (48, "22B", 4096, 8), (48, "33B", 4096, 8),
        (64, "33B", 4096, 8),
    ],
)  # fmt: skip
def test_macs(gigabytes: int, model: str, context: int | None, caches: int) -> None:
    check(MODELS[model], int(MAC_WORKING_SETS[gigabytes]), context, caches)


@pytest.mark.parametrize(
    ("gigabytes", "model", "context", "caches"),
    [
        (8, "1.3B", 4096, 8), (8, "6.7B", 4096, 3), (8, "7B", 4096, 8), (8, "22B", None, 0),
        (12, "6.7B", 4096, 6), (12, "22B", None, 0),
        (16, "22B", 4096, 5), (16, "33B", None, 0),
        (24, "33B", 4096, 7),
        (40, "33B", 4096, 8),
        (80, "33B", 4096, 8),
    ],
)  # fmt: skip
def test_gpus(gigabytes: int, model: str, context: int | None, caches: int) -> None:
    check(MODELS[model], int(gigabytes * GIB * 0.9), context, caches)


def check(model: Footprint, available: int, context: int | None, caches: int) -> None:
    if context is None:
        with pytest.raises(CapacityError, match=r"needs .* GB .* can be used: .* would fit"):
            plan(model, working_set=available)
        return
    found = plan(model, working_set=available)
    assert (found.context, found.caches) == (context, caches)
    assert found.weights + found.cache_budget + found.scratch + found.process <= available
    assert str(found.context) in str(found)


def test_experts_are_kept_all_and_read_in_part() -> None:
    for model, parameters, active in ((QWEN_30B_A3B, 30.5e9, 3.35e9), (DEEPSEEK_V2_LITE, 15.7e9, 2.66e9)):
        assert model.weights == pytest.approx(parameters * 4.5 / 8, rel=0.01)
        assert model.token_weights == pytest.approx(active * 4.5 / 8, rel=0.01)
    assert DEEPSEEK_V2_LITE.kv_token == 27 * 16 * (192 + 128 + 8)


def test_the_context_shrinks_before_a_model_is_refused() -> None:
    assert plan(DEEPSEEK_7B, working_set=int(5.0e9)).context == 2048
    assert plan(DEEPSEEK_7B, working_set=int(4.4e9)).context == 1024
    with pytest.raises(
        CapacityError, match=r"a model of at most 6\.\d billion parameters at 4 bit would fit"
    ):
        plan(DEEPSEEK_7B, working_set=int(4.2e9))


def test_a_refusal_says_what_would_fit() -> None:
    with pytest.raises(CapacityError, match="a context of 4096 tokens would fit"):
        plan(DEEPSEEK_7B, working_set=int(6e9), context=16384)
    with pytest.raises(CapacityError, match=r"with its draft needs .* the model without its draft would fit"):
        plan(DEEPSEEK_7B, DEEPSEEK_1B, working_set=int(5.0e9))
    with pytest.raises(CapacityError, match="no model would fit"):
        plan(DEEPSEEK_7B, working_set=int(1e8))


def test_what_the_plan_names_as_fitting_does_fit() -> None:
    for available in range(int(4.5e9), int(8e9), int(3e8)):
        try:
            plan(DEEPSEEK_7B, working_set=available, context=16384)
        except CapacityError as error:
            named = str(error).partition("a context of ")[2].partition("a context of ")[2].split()[0]
            assert plan(DEEPSEEK_7B, working_set=available, context=int(named)).context == int(named)


def test_a_model_with_few_positions_is_planned_for_them() -> None:
    small = dataclasses.replace(DEEPSEEK_1B, positions=600)
    assert plan(small, working_set=16 * GIB).context == 600
    with pytest.raises(CapacityError, match="context of 601 tokens is not possible: the model has 600"):
        plan(small, working_set=16 * GIB, context=601)


def experts_and_latent_attention() -> Checkpoint:
    moe = MixtureOfExperts(layers=(1,), experts=16, experts_per_token=2, intermediate_size=64)
    latent = LatentAttention(query_rank=64, kv_rank=64, nope_dim=64, rope_dim=32, value_dim=64)
    config = config_of(moe=moe, mla=latent, head_dim=32, num_kv_heads=4, vocab_size=320)
    return MadeUpCheckpoint(config, lambda name: Quantization(4, 64))


@pytest.mark.parametrize("device", NATIVE)
@pytest.mark.parametrize(
    "open_checkpoint",
    [lambda: Checkpoint(bundled.locate(bundled.MAIN)), experts_and_latent_attention],
    ids=["bundled", "experts and latent attention"],
)
def test_the_plan_agrees_with_what_the_native_backend_takes(
    device: str, open_checkpoint: Callable[[], Checkpoint]
) -> None:
    checkpoint = open_checkpoint()
    expected = memory.measure(checkpoint, device)
    backend = NativeBackend.load(checkpoint, capacity=1024, threads=1)
    assert sum(backend.weight_bytes.values()) == pytest.approx(expected.token_weights, rel=0.02)
    cache = backend.new_cache()
    backend.forward([1] * 1024, cache, logits=0)
    assert cache.bytes == expected.kv_token * 1024


def test_loading_follows_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = bundled.root() / "flash-coder-draft"
    with Engine.load(draft, device="reference") as engine:
        assert engine.plan is not None
        assert engine.backend.capacity == engine.plan.context == 4096
        expected = engine.plan
    room = expected.total - expected.kv // 3
    monkeypatch.setattr("flash_engine.engine.working_set", lambda device: room)
    with Engine.load(draft, device="reference") as engine:
        assert engine.backend.capacity == 2048
    monkeypatch.setattr("flash_engine.engine.working_set", lambda device: expected.weights)
    with pytest.raises(CapacityError, match="can be used"):
        Engine.load(draft, device="reference")


def test_a_container_limits_the_working_set(tmp_path: Path) -> None:
    assert 0 < working_set("native") < 2**50
    assert container_room(tmp_path) == float("inf")
    for name, text in (
        ("memory.max", "1000\n"),
        ("memory.current", "700\n"),
        ("memory.stat", "anon 5\ninactive_file 50\n"),
    ):
        (tmp_path / name).write_text(text)
    assert container_room(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert container_room(tmp_path) == float("inf")
