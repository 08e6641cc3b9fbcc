"""Passes are recorded at load, and run on the rows of the cache that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
import pytest

from flash_engine.backends import fused
from flash_engine.backends.fused import FusedBackend


class Replay:
    """Passes that are only noted: (tokens, logits or vocabulary, passes)."""

    noted: ClassVar[list[tuple[int, Any, int]]] = []

    def __init__(self, recording: object, cache: mx.array) -> None:
        self.cache = cache

    def logits(self, tokens: Sequence[int], position: int, count: int) -> Any:
        self.noted.append((len(tokens), count, 1))
        return np.zeros((count, 64), np.float32)

    def choose(self, tokens: Sequence[int], position: int, vocabulary: int, *, passes: int = 1) -> Any:
        self.noted.append((len(tokens), f"of {vocabulary}", passes))
        return [(0, 0.0)] * (len(tokens) + passes - 1)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FusedBackend:
    monkeypatch.setattr(fused, "Replay", Replay)
    monkeypatch.setattr(Replay, "noted", [])
    config: Any = SimpleNamespace(vocab_size=64)
    decoder: Any = SimpleNamespace(
        new_cache=lambda capacity: mx.zeros((1, 2, 1, capacity, 17), dtype=mx.uint32)
    )
    recording: Any = object()
    kernels: Any = None
    return FusedBackend(config, 32, decoder, kernels, recording)


def test_a_fork_has_rows_of_its_own(backend: FusedBackend) -> None:
    cache = backend.new_cache()
    backend.forward([1, 2, 3], cache, logits=1)
    twin = cache.fork()
    backend.forward([4], twin, logits=1)
    assert twin.length == 4
    assert cache.length == 3
    assert twin.replay is not cache.replay
    assert twin.replay is not None
    assert twin.replay.cache is twin.rows  # type: ignore[attr-defined]


def test_narrow_passes_are_recorded_at_load(backend: FusedBackend) -> None:
    backend.rehearse()
    assert set(Replay.noted) == {
        *((size, 1, 1) for size in range(1, 9)),
        *((size, "of 64", 1) for size in range(1, 9)),
        (1, "of 64", 2),
    }


def test_what_cannot_be_recorded_is_launched_by_mlx(
    backend: FusedBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("cuGraphInstantiateWithFlags: out of memory (2)")

    monkeypatch.setattr(Replay, "logits", refuse)
    backend.rehearse()
    assert "not replayed from CUDA graphs: cuGraphInstantiateWithFlags" in caplog.text
    assert backend._recording is None
