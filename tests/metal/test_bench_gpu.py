"""The GPU bench on a tiny shape, its launches on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import pytest

from flash_engine.backends.fused import FusedCache
from flash_engine.drafting import Chosen, Read
from flash_engine.speculation import Controller, DraftCosts, Lookup, PassCosts, Source
from flash_lsp.bench.gpu import run, speculation
from flash_lsp.bench.gpu.shapes import SHAPES, Shape
from flash_lsp.bench.gpu.speculation import Place
from flash_lsp.bench.gpu.trace import Acceptance, Trace, mark
from flash_metal.launches import Heads
from flash_metal.registry import Registry
from offmac import host

TINY = Shape(hidden=64, layers=1, inner=128, heads=Heads(1, 1, 64), vocabulary=256)


@pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)
def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "compile", lambda one_pass: one_pass)  # the CPU's launches are no MLX operations
    monkeypatch.setattr(run, "_stock", lambda shape: None)
    monkeypatch.setattr(run, "PASSES", (1, 8))
    monkeypatch.setattr(run, "PROMPTS", (32,))
    monkeypatch.setattr(run.measure, "decode", partial(run.measure.decode, steps=2))
    monkeypatch.setattr(run.measure, "passes", partial(run.measure.passes, rounds=6))
    stages: list[float] = []
    kernels = Registry(partial(host.kernel, orders=1))
    found = run.run(
        TINY,
        kernels,
        capacity=128,
        contexts=(16,),
        rounds=1,
        progress=lambda stage, share: stages.append(share),
    )
    assert found["decode_tokens_s"]["16"]["fused"] > 0
    assert found["decode_tokens_s"]["16"]["over_plain"] > 0
    assert set(found["prompts"]) == {"32"}
    assert set(found["passes"]) == {"1", "8"}
    assert found["passes"]["1"]["v"] == 1
    assert stages == sorted(stages)
    assert stages[-1] == 1


@pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)
def test_speculation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "compile", lambda one_pass: one_pass)
    monkeypatch.setattr(speculation, "LENGTHS", (2,))
    monkeypatch.setattr(speculation, "_pipelined", lambda bench, shape, context: 0.0)
    right = Acceptance.of_chances([[True] * 20])
    trace = Trace("made up", {"infill": right, "edit": right}, {"edit": Acceptance((((7, 7),) * 20,))})
    kernels = Registry(partial(host.kernel, orders=1))
    found = speculation.run(kernels, TINY, TINY, trace=trace, context=16, tokens=9, texts=1, rounds=1)
    assert found["replayed"] == "made up"
    assert found["v"][1] == 1
    assert found["model"]["infill"]["by_draft_length"][2]["tokens_per_pass"] == 3
    assert found["text"]["edit"]["by_draft_length"][0]["tokens_per_pass"] == 8
    assert found["both"]["edit"]["by_draft_length"][2]["speedup"] > 0
    assert set(found["model"]["infill"]["by_draft_length"]) == {
        2,
        "stopped",
        "read along",
    }
    assert found["acceptance"]["80% a token, recorded"]["first"] == 1


class Text:
    """A backend whose cache must hold 0, 1, 2, ...: it chooses the number after the one given, and drafts right."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.is_blind = False

    def choose(self, tokens: list[int], cache: FusedCache, *, vocabulary: int) -> list[tuple[int, float]]:
        assert self.is_blind or tokens == list(range(cache.length, cache.length + len(tokens)))
        self.passes.append(tokens)
        cache.hold(cache.length + len(tokens))
        return [(token + 1, 0.0) for token in tokens]

    def greedy(
        self, tokens: list[int], cache: FusedCache, count: int, *, vocabulary: int
    ) -> list[tuple[int, float]]:
        whole = [*tokens, *range(tokens[-1] + 1, tokens[-1] + count)]
        return self.choose(whole, cache, vocabulary=vocabulary)[-count:]

    def forward(self, tokens: list[int], cache: FusedCache, *, logits: int) -> None:
        self.choose(tokens, cache, vocabulary=0)

    @contextmanager
    def choosing(self, cache: FusedCache, *, vocabulary: int) -> Iterator[Read]:
        def read(tokens: Sequence[int], position: int, choices: int) -> Chosen:
            cache.hold(position)
            return self.choose(list(tokens), cache, vocabulary=vocabulary)[-choices:]

        yield read


@pytest.fixture
def bench() -> Any:
    made: Any = speculation.Bench.__new__(speculation.Bench)
    made._context, made._vocabulary = 1, 256
    made.main, made.draft = Text(), Text()
    made._main_cache, made._draft_cache = (FusedCache(mx.zeros((4,))) for _ in range(2))
    for cache in (made._main_cache, made._draft_cache):
        cache.hold(1)
    return made


def test_drafts_are_rolled_back(bench: Any) -> None:
    """Both caches hold what is committed, whatever is accepted, and the draft model reads what it has not read."""
    right = [3, 9, 9, 9, 0, 1, 9, 2, 9, 9, 3, 9, 9, 9, 0]
    places = [Place(0, 0, each) for each in right]
    places[7] = Place(4, 2, 9)
    run = bench.speculative(iter(places), 12, 3)
    assert (run.tokens, run.passes) == (14, 5)
    assert [part[0] for part in bench.main.passes] == [1, 5, 6, 8, 11]
    assert [part[0] for part in bench.draft.passes] == [1, 4, 6, 8]
    assert bench._main_cache.length == 15


def test_drafts_stop_where_the_controller_says(bench: Any) -> None:
    controller = Controller(PassCosts([1 + 0.1 * more for more in range(8)]), DraftCosts(1e-3, 1e-3))
    places = [Place(0, 0, 7, (9,) * 7) for _ in range(8)]
    places += [Place(0, 0, 1, (9, 9, 0, 9, 9, 9, 9)) for _ in range(2)]
    places += [Place(3, 3, 0, ()), *[Place(0, 0, 0, (9,) * 7)] * 3, Place(0, 0, 0, ())]
    run = bench.speculative(iter(places), 15, controller)
    assert (run.tokens, run.passes) == (15, 4)
    assert [len(part) for part in bench.main.passes] == [8, 3, 4, 1]
    assert [part[0] for part in bench.draft.passes] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    chances = controller.acceptance[Source.MODEL].chances
    assert chances[0] == 0.05
    assert 0.9 < chances[9] < 0.95


def test_what_is_read_along_is_replayed(bench: Any) -> None:
    """Right where it was recorded to be: a pass then drafts several tokens, and the text is the same."""
    costs = PassCosts([1 + 0.1 * more for more in range(8)])
    controller = Controller(costs, DraftCosts(1e-3, 1e-3), Lookup(PassCosts([1.0] * 8)))
    bench.main.is_blind = bench.draft.is_blind = True
    looked_up = ((5, True), (3, True), (2, False), (0, False), (1, True), (1, True), (1, True))
    run = bench.speculative(iter([Place(0, 0, 7, (9,) * 7, looked_up)] * 8), 8, controller)
    assert (run.tokens, run.passes) == (8, 1)
    assert [len(part) for part in bench.main.passes] == [8]
    assert [len(part) for part in bench.draft.passes] == [4, 1, 3]
    assert bench._draft_cache.length == 8


def test_acceptance() -> None:
    made = Acceptance.of_chances([[True, True, False, True]])
    assert made.texts == (((7, 2), (7, 1), (7, 0), (7, 1)),)
    assert made.rate == 0.75
    assert made.by_position()[:3] == [0.75, pytest.approx(1 / 3), 0.0]
    assert made.grades == (((9,) * 7,) * 4,)
    assert abs(Acceptance.at_rate(0.8, texts=200).rate - 0.8) < 0.02
    assert Acceptance.at_rate(0.8, texts=1).grades[0][0] == (8,) * 7
    recorded = Trace.load()
    for source in (recorded.model, recorded.text):
        for each in source.values():
            assert 0.5 < each.rate < 1
            lengths = [[drafted for drafted, _ in text] for text in each.texts]
            assert [[len(grades) for grades in text] for text in each.grades] == lengths
            if source is recorded.model:
                assert [[len(looked) for looked in text] for text in each.looked_up] == lengths


def test_recorded_acceptance() -> None:
    marks = " ".join(
        "".join(mark(*each) for each in draft) for draft in ([(5, True), (3, False)], [(0, False)], [])
    )
    found = Acceptance.recorded([["987 95 ", "210"], ["98 9 ", "210", marks]])
    assert found.texts == (((3, 2), (2, 1), (0, 0)), ((2, 2), (1, 1), (0, 0)))
    assert found.grades[0] == ((9, 8, 7), (9, 5), ())
    assert found.looked_up == (((), (), ()), (((5, True), (3, False)), ((0, False),), ()))


def test_texts_near_a_rate() -> None:
    texts = [[True] * 4, [False] * 4, [True, True, False, True], [True, False, True, False]]
    parts = [Acceptance.of_chances([each], grade) for grade, each in enumerate(texts)]
    near = Acceptance.joined(parts).near(0.6, 2)
    assert near.rate == 0.625
    assert [text[0][0] for text in near.grades] == [3, 2]
    assert Acceptance.joined(parts).near(0.1, 9).rate == 9 / 16


def test_bytes() -> None:
    """4.5 bits a weight; 132 bytes a head, keys and values."""
    shape = SHAPES["deepseek-coder-6.7b"]
    assert shape.weight_bytes == (32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32256) * 9 // 16
    assert shape.token_bytes == 32 * 2 * 32 * 132
