"""The fused backend on the CPU: right, the same bits for any history, and honest about what it cannot do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flash_engine import Checkpoint, sampling
from flash_engine.backends import fused, fused_model
from flash_engine.backends.fused import FusedBackend
from flash_engine.backends.reference import ReferenceBackend
from flash_engine.drafting import DraftRule, choosing_by_forwards, draft
from flash_engine.errors import Cancelled, CapacityError, DeviceError
from flash_metal.launches import Tiling
from flash_metal.registry import Registry
from offmac import host
from tests.engine.speculation.knowing import by_forwards
from tests.engine.tiny import Shape, write_checkpoint

needs_host = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)
SHAPE = Shape(hidden=128, ffn=256, layers=2, heads=3, kv_heads=1, head_dim=64, group=64, vocab=320)
TILING = Tiling(splits=2, attention_simdgroups=2, simdgroups=4, split=2)
TOKENS = [5, 17, 100, 3, 3, 250, 81, 0, 9, 255, 40, 7]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("tiny"), SHAPE))


@pytest.fixture(scope="module")
def backend(checkpoint: Checkpoint) -> FusedBackend:
    kernels = Registry(partial(host.kernel, orders=1))
    return FusedBackend.load(checkpoint, capacity=50, kernels=kernels, tiling=TILING)


@needs_host
def test_against_float64(checkpoint: Checkpoint, backend: FusedBackend) -> None:
    reference = ReferenceBackend.load(checkpoint, capacity=50)
    got = backend.forward(TOKENS, backend.new_cache(), logits=len(TOKENS))
    want = reference.forward(TOKENS, reference.new_cache(), logits=len(TOKENS))
    assert np.abs(got - want).max() < 0.02 * np.abs(want).max()
    np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))


@needs_host
def test_any_history_gives_the_same_bits(backend: FusedBackend) -> None:
    want = backend.forward(TOKENS, backend.new_cache(), logits=3).tobytes()
    cache = backend.new_cache()
    assert backend.forward(TOKENS[:2], cache, logits=0).shape == (0, SHAPE.vocab)
    backend.forward([1, 2, 3], cache, logits=1)
    twin = cache.fork()
    cache.trim(2)
    assert backend.forward(TOKENS[2:], cache, logits=3).tobytes() == want
    twin.trim(0)
    backend.forward(TOKENS[:9], twin, logits=9)
    assert backend.forward(TOKENS[9:], twin, logits=3).tobytes() == want
    assert cache.length == twin.length == len(TOKENS)


@needs_host
@pytest.mark.parametrize("vocabulary", [SHAPE.vocab, 200])
@pytest.mark.parametrize("tokens", [TOKENS[:1], TOKENS], ids=["one token", "two passes"])
def test_greedy_is_a_forward_a_token(backend: FusedBackend, tokens: list[int], vocabulary: int) -> None:
    cache, plain_cache = backend.new_cache(), backend.new_cache()
    for context in (tokens, [7]):
        found = backend.greedy(context, cache, 5, vocabulary=vocabulary)
        wanted, last = [], context
        for _ in range(5):
            wanted.append(sampling.greedy(backend.forward(last, plain_cache, logits=1)[0, :vocabulary]))
            last = [wanted[-1][0]]
        assert [token for token, _ in found] == [token for token, _ in wanted]
        np.testing.assert_allclose([x for _, x in found], [x for _, x in wanted], atol=1e-5)
    assert cache.length == plain_cache.length == len(tokens) + 1 + 2 * 4
    rows = [np.array(each.rows)[..., : cache.length, :] for each in (cache, plain_cache)]
    np.testing.assert_array_equal(*rows)


@needs_host
def test_choices_after_each_token(backend: FusedBackend) -> None:
    """In a pass of several, as when a draft is verified, and then in passes of the token chosen last."""
    found = backend.choose(TOKENS[:3], backend.new_cache(), vocabulary=SHAPE.vocab, passes=2)
    tokens = [*TOKENS[:3], found[2][0]]
    rows = backend.forward(tokens, backend.new_cache(), logits=4)
    assert [token for token, _ in found] == rows.argmax(-1).tolist()


@needs_host
def test_drafts_are_those_of_forwards(backend: FusedBackend) -> None:
    ends = np.zeros(200, np.bool_)
    bars, chances = [0.0, 0.3, 0.3, 0.0], [0.3, *[0.9] * 9]
    cache, plain_cache = backend.new_cache(), backend.new_cache()
    found: list[tuple[int, float]] = []
    for _ in range(3):
        ends[[token for token, _ in found[-1:]]] = True
        rule = DraftRule(bars, chances, ends)
        for each in (cache, plain_cache):
            each.trim(0)
        found = draft(backend, TOKENS, cache, rule)
        wanted = by_forwards(backend, TOKENS, plain_cache, rule)
        assert [token for token, _ in found] == [token for token, _ in wanted]
        assert cache.length == plain_cache.length


@needs_host
def test_passes_choose_what_forwards_do(backend: FusedBackend) -> None:
    tokens = TOKENS[-8:]
    with (
        backend.choosing(cache := backend.new_cache(), vocabulary=200) as read,
        choosing_by_forwards(backend, plain_cache := backend.new_cache(), vocabulary=200) as plain,
    ):
        for each in ((tokens, 0, 1), (tokens[:3], 8, 3), ([7], 9, 1)):
            found, wanted = read(*each), plain(*each)
            assert [token for token, _ in found] == [token for token, _ in wanted]
            assert [logprob for _, logprob in found] == pytest.approx(
                [logprob for _, logprob in wanted], abs=1e-4
            )
    assert cache.length == plain_cache.length == 10


class Steps:
    """A Replay that chooses the number after each token."""

    def __init__(self) -> None:
        self.passes: list[tuple[list[int], int]] = []
        self.finished = 0

    def start(self, tokens: Sequence[int], position: int, vocabulary: int) -> list[tuple[int, float]]:
        assert vocabulary == 200
        self.passes.append((list(tokens), position))
        return [(token + 1, -0.1) for token in tokens]

    def finish(self) -> None:
        self.finished += 1


class Two:
    """Knows that 13 and, wrongly, 15 come."""

    def after(self, drafted: Sequence[int], unread: int, most: int) -> list[int]:
        return [13, 15][:most] if list(drafted) == [11, 12] else []

    def judge(self, right: int) -> None: ...


@needs_host
def test_recorded_drafts(backend: FusedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds what was drafted but the last, and is free when the draft is there."""
    steps, cache = Steps(), backend.new_cache()
    backend.forward([1, 2, 3], cache, logits=0)
    monkeypatch.setattr(backend, "_recording", object())
    monkeypatch.setattr(backend, "_replay", lambda recording, cache: steps)
    ends = np.arange(200) == 16
    found = draft(backend, [9, 10], cache, DraftRule([0.0] * 7, [0.9] * 10, ends), along=Two())
    assert [token for token, _ in found] == [11, 12, 13, 14, 15]
    assert steps.passes == [([9, 10], 3), ([11], 5), ([12, 13, 15], 6), ([14], 8), ([15], 9)]
    assert (cache.length, steps.finished) == (9, 1)
    assert draft(backend, TOKENS, cache, DraftRule([], [0.9] * 10, ends)) == []
    assert (cache.length, steps.finished) == (9, 1)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        draft(backend, [15], cache, DraftRule([0.0], [0.9] * 10, ends), cancel=cancel)
    assert (cache.length, steps.finished) == (9, 2)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    ("tokens", "logits"), [(1, 1), (9, 9), (64, 8), (64, 9), (70, 70), (100, 0), (512, 1)]
)
def test_recorded_passes(tokens: int, logits: int, wide: bool) -> None:
    found = list(fused.passes(tokens, logits, wide=wide))
    sizes = [size for size, _ in found]
    assert sum(sizes) == tokens
    assert set(sizes) <= {*range(1, 9), *((16, 32, 64) if wide else ())}
    wanted = [min(size, max(0, logits - sum(sizes[i + 1 :]))) for i, size in enumerate(sizes)]
    assert [count for _, count in found] == wanted
    assert max(wanted) <= 8
    assert not wide or logits > 8 or len(sizes) <= tokens // 64 + 5


@needs_host
def test_limits(backend: FusedBackend) -> None:
    cache = backend.new_cache()
    with pytest.raises(CapacityError, match="51 tokens after 0 exceed the context of 50"):
        backend.forward([1] * 51, cache, logits=0)
    with pytest.raises(CapacityError, match="51 tokens after 0 exceed the context of 50"):
        backend.greedy([1] * 50, cache, 2, vocabulary=SHAPE.vocab)
    with pytest.raises(ValueError, match="cannot trim to 1 positions"):
        cache.trim(1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activation": "gelu"}, "activation = gelu"),
        ({"sliding_windows": (None, 128)}, "sliding_windows"),
        ({"vocab_size": 333}, "vocab_size = 333"),
        ({"head_dim": 80}, "head_dim = 80"),
    ],
)
def test_obstacles(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, changes: Any, reason: str
) -> None:
    assert fused_model.obstacle(checkpoint) == ""
    monkeypatch.setattr(checkpoint, "config", replace(checkpoint.config, **changes))
    assert reason in fused_model.obstacle(checkpoint)
    with pytest.raises(DeviceError, match="no fused launches for"):
        FusedBackend.load(checkpoint, capacity=50)


def test_verdict_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlx.core as mx

    from flash_metal import verdict
    from flash_metal.selftest import Result

    runs: list[int] = []

    def run(*_: Any) -> list[Result]:
        runs.append(1)
        return [Result("qkv", float("inf"), 1e-3, "does not compile"), Result("down", 1e-4, 1e-3, "")]

    given: Callable[[Any], dict[str, Any]] = lambda device: {"device_name": "made-up GPU"}  # noqa: E731
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(verdict.selftest, "run", run)
    monkeypatch.setattr(verdict, "device_registry", lambda: None)
    monkeypatch.setattr(mx, "device_info", given)
    for _ in range(2):
        assert verdict.faults(mx.float16, TILING) == {"qkv": "does not compile"}
    stages: list[str] = []
    assert fused_model.fault(TILING, lambda stage, done: stages.append(stage)) == "qkv: does not compile"
    assert len(runs) == 1
    assert not stages
    verdict._file(mx.float16, TILING).write_text("{damaged")
    fused_model.fault(TILING, lambda stage, done: stages.append(stage))
    assert stages == ["testing the GPU's kernels, once on this machine"]
    verdict._file(mx.float16, TILING).write_text("{damaged")
    assert verdict.faults(mx.float16, TILING)
    assert len(runs) == 3
