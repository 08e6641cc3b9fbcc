"""Recorded passes, their launches run on the CPU: the bits of launches that are not recorded, on whatever cache."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from flash_metal.decoder import Decoder
from flash_metal.launches import Heads, Tiling
from flash_metal.nvidia import kernels, module, recorded
from flash_metal.nvidia.recorded import Recording, Replay
from flash_metal.nvidia.tile import tile
from flash_metal.problem import Problem
from flash_metal.registry import Registry
from offmac import cuda_host, host
from offmac.cuda_driver import HostDriver
from offmac.cuda_host import HostLaunch
from tests.metal.test_decoder import EPS, model

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

PROBLEM = Problem(Heads(4, 2, 64), hidden=256, inner=256)
WEIGHTS = model(PROBLEM, 2, tile)
VOCABULARY = 200
CAPACITY = 64
TEXTS = [[5, 17, 100, 3, 3, 250, 81, 0, 9, 255, 40], [7, 7, 12, 90, 33, 1, 2, 180, 4, 77, 6]]


@pytest.fixture(autouse=True)
def driver(nothing_compiled: None, monkeypatch: pytest.MonkeyPatch) -> HostDriver:
    made = HostDriver()
    monkeypatch.setattr(module, "architecture", lambda: cuda_host.TARGET)
    monkeypatch.setattr(module, "compile_text", lambda text, target: text.encode())
    monkeypatch.setattr(kernels, "multiprocessors", lambda: cuda_host.MULTIPROCESSORS)
    monkeypatch.setattr(kernels, "shared_bytes", lambda: cuda_host.SHARED_BYTES)
    monkeypatch.setattr(kernels.cuda, "kernel", lambda **_: None)
    monkeypatch.setattr(kernels, "address", made.address)
    monkeypatch.setattr(kernels, "resident", lambda scalar: mx.broadcast_to(scalar, (4,)) + 0)
    monkeypatch.setattr(recorded, "driver", lambda: made)
    return made


def decoder(kernels: Registry) -> Decoder:
    return Decoder(kernels, Tiling(splits=2), PROBLEM.heads, WEIGHTS, frequency=PROBLEM.frequency(), eps=EPS)


def new_cache() -> mx.array:
    made = mx.zeros((2, 2, 2, CAPACITY, 17), dtype=mx.uint32)
    mx.eval(made)
    return made


class Text:
    """Passes on one cache, and all that they gave."""

    def __init__(self, replay: Replay, tokens: list[int]) -> None:
        self._replay, self._tokens, self._length = replay, tokens, 0
        self.found: list[Any] = []

    def read(self, count: int) -> None:
        some = self._tokens[self._length : self._length + count]
        self.found.append(self._replay.logits(some, self._length, min(count, 2)).tobytes())
        self._length += count

    def choose(self, count: int, passes: int) -> None:
        some = self._tokens[self._length : self._length + count]
        self.found.append(self._replay.choose(some, self._length, VOCABULARY, passes=passes))
        self._length += count + passes - 1

    def again(self) -> None:
        """From the beginning, what the cache holds notwithstanding."""
        self._length = 0


STEPS = [
    ("read", 3),
    ("choose", 2, 3),
    ("choose", 1, 4),
    ("again",),
    ("read", 8),
    ("choose", 2, 1),
    ("read", 1),
]


def test_caches_in_turn_are_as_each_alone(driver: HostDriver) -> None:
    def texts(recordings: list[Recording]) -> tuple[list[Text], list[mx.array]]:
        caches = [new_cache() for _ in TEXTS]
        replays = [Replay(*each) for each in zip(recordings, caches, strict=True)]
        return [Text(*each) for each in zip(replays, TEXTS, strict=True)], caches

    alone, rows_alone = texts([Recording(decoder) for _ in TEXTS])
    for text in alone:
        for name, *arguments in STEPS:
            getattr(text, name)(*arguments)
    assert driver.set_nodes == 0

    recording = Recording(decoder)
    in_turn, rows = texts([recording] * len(TEXTS))
    for name, *arguments in STEPS:
        for text in in_turn:
            getattr(text, name)(*arguments)
    assert driver.set_nodes
    assert alone[0].found != alone[1].found
    for one, other in zip(alone, in_turn, strict=True):
        assert one.found == other.found
    for one_rows, other_rows in zip(rows_alone, rows, strict=True):
        assert driver.memory(one_rows).any()
        np.testing.assert_array_equal(driver.memory(one_rows), driver.memory(other_rows))


@pytest.mark.parametrize("known", [True, False])
def test_a_token_at_a_time(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for as the GPU goes on, or found after it was waited for: fed by its choice, given by the host,
    and with what comes read along, rightly and wrongly."""
    recording = Recording(decoder)
    at_once, replay = Replay(recording, new_cache()), Replay(recording, new_cache())
    wanted = at_once.choose([5, 17, 100], 0, VOCABULARY, passes=6)
    if not known:
        monkeypatch.setattr(recorded, "_LOOKS", 0)
    ids = [token for token, _ in wanted]
    wrong = (ids[6] + 1) % VOCABULARY
    assert replay.start([5, 17, 100], 0, VOCABULARY) == wanted[:3]
    assert replay.start(ids[2:3], 3, VOCABULARY) == wanted[3:4]
    assert replay.start(ids[3:5], 4, VOCABULARY) == wanted[4:6]
    assert replay.start([ids[5], wrong], 6, VOCABULARY)[0] == wanted[6]
    assert replay.start(ids[6:7], 7, VOCABULARY) == wanted[7:8]
    replay.finish()
    again = replay.choose([9], 3, VOCABULARY)
    assert again == at_once.choose([9], 3, VOCABULARY)


def test_recorded_is_launched(driver: HostDriver) -> None:
    """Logits, choices and rows of launches one by one, which know nothing of graphs."""
    tokens = TEXTS[0][:5]
    plain = decoder(HostLaunch().registry())
    logits, rows = plain(mx.array(tokens, dtype=mx.int32), new_cache(), mx.array([0]), logits=5)
    cache = new_cache()
    replay = Replay(Recording(decoder), cache)
    assert replay.logits(tokens, 0, 5).tobytes() == np.array(logits).tobytes()
    np.testing.assert_array_equal(driver.memory(cache)[:, :, :, :5], np.array(rows))
    for count in (0, 2):
        assert replay.logits(tokens, 0, count).tobytes() == np.array(logits)[5 - count :].tobytes()
    for vocabulary in (VOCABULARY, 40):
        chosen = replay.choose(tokens, 0, vocabulary)
        scores = np.array(logits)[:, :vocabulary].astype(np.float64)
        assert [token for token, _ in chosen] == scores.argmax(-1).tolist()
        logprobs = scores.max(-1) - np.log(np.exp(scores).sum(-1))
        np.testing.assert_allclose([logprob for _, logprob in chosen], logprobs, atol=1e-5)


def test_a_cache_that_cannot_be_set_is_not_taken_for_set(
    driver: HostDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cuGraphExecKernelNodeSetParams_v2: unknown error (999)")

    recording, caches = Recording(decoder), [new_cache(), new_cache()]
    one, other = (Replay(recording, cache) for cache in caches)
    wanted = one.logits([1, 2], 0, 2)
    with monkeypatch.context() as patch:
        patch.setattr(driver, "set", refuse)
        with pytest.raises(RuntimeError, match="SetParams"):
            other.logits([1, 2], 0, 2)
        with pytest.raises(RuntimeError, match="SetParams"):
            one.logits([1, 2], 0, 2)
    assert one.logits([1, 2], 0, 2).tobytes() == wanted.tobytes()
    assert other.logits([1, 2], 0, 2).tobytes() == wanted.tobytes()
