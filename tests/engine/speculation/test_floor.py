"""Speculation loses next to nothing against plain decoding, whatever passes and drafts cost and what is accepted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from operator import mul

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash_engine import Tokenizer
from flash_engine.speculation import (
    Bounds,
    Choice,
    Controller,
    Draft,
    DraftCosts,
    ModelDrafter,
    PassCosts,
    Speculator,
    TextDrafter,
)
from flash_engine.speculation.ledger import MOST_AHEAD, TOLERANCE
from flash_engine.speculation.text import PRIOR as TEXT_PRIOR

MS = 1e-3
WRONG, RIGHT = 1, 2


class World:
    """A clock, drafters that take time on it, and a text of which `accepts(place)` says where drafts are right."""

    def __init__(
        self,
        pass_ms: Sequence[float],
        draft_ms: float,
        accepts: Callable[[int], bool],
        grade: int,
        *,
        text_ms: float | None = None,
        text_grade: int = 0,
        known_ms: Sequence[float] | None = None,
    ) -> None:
        """known_ms: what passes were measured to cost at load; default: what they do cost."""
        self.now = 0.0
        self.committed = 0
        self.grade = grade
        self.draft_ms = draft_ms
        self.text_ms = text_ms
        self.text_grade = text_grade
        self._pass_ms = pass_ms
        self._accepts = accepts
        self.controller = Controller(
            PassCosts([MS * each for each in known_ms or pass_ms]), DraftCosts(MS * draft_ms, MS * draft_ms)
        )
        texts = None if text_ms is None else Texts(self)
        self._speculator = Speculator(self.controller, Model(self), texts, clock=lambda: self.now)

    @property
    def plain(self) -> float:
        """Seconds of plain decoding for what is committed."""
        return self.committed * MS * self._pass_ms[0]

    def spend(self, ms: float) -> None:
        self.now += MS * ms

    def round(self, tokenizer: Tokenizer) -> None:
        if self._speculator.rests([0]):
            self.spend(self._pass_ms[0])
            self.committed += 1
            return
        drafts = self._speculator.propose([0], Bounds(tokenizer, 7, b"", frozenset(), b""))
        self.spend(self._pass_ms[len(drafts)])
        self._speculator.verified(MS * self._pass_ms[len(drafts)])
        right = self._accepts(self.committed)
        for token in drafts:
            self._speculator.chosen(token if right else WRONG)
            self.committed += 1
            if not right:
                return
        self.committed += 1


class Model(ModelDrafter):
    def __init__(self, world: World) -> None:
        self._world = world

    def behind(self, tokens: Sequence[int]) -> int:
        return 1

    def read(self, tokens: Sequence[int], most: int, cancel: threading.Event | None = None) -> None: ...

    def draft(
        self,
        tokens: Sequence[int],
        bounds: Bounds,
        bars: Sequence[float],
        chances: Sequence[float],
        cancel: threading.Event | None = None,
    ) -> Draft:
        draft = Draft()
        for bar, chance in zip(
            bars, accumulate(repeat(chances[self._world.grade]), mul, initial=1.0), strict=False
        ):
            if chance <= bar:
                break
            self._world.spend(self._world.draft_ms)
            draft.tokens.append(RIGHT)
            draft.grades.append(self._world.grade)
        return draft

    def guessed(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        return Draft()

    def has_guess(self, length: int) -> bool:
        return False


class Texts(TextDrafter):
    def __init__(self, world: World) -> None:
        self._world = world

    def knows(self, tokens: Sequence[int]) -> bool:
        return True

    def draft(self, tokens: Sequence[int], bounds: Bounds) -> Draft:
        self._world.spend(self._world.text_ms or 0.0)
        return Draft([RIGHT] * bounds.most, [self._world.text_grade] * bounds.most)


def test_a_draft_that_took_longer_than_expected_is_verified(tokenizer: Tokenizer) -> None:
    """Where next to nothing is affordable, too: or drafts would be made and thrown away for ever."""
    world = World([1.8, 1.9, 1.95, 1.96, 2.06, 2.06, 2.15, 2.15], 0.68, lambda place: True, 9)
    world.controller.ledger.ahead = 0.0
    world.draft_ms = 0.75
    for _ in range(200):
        world.round(tokenizer)
    assert world.committed > 500


pass_costs = st.tuples(st.floats(0.5, 50), st.lists(st.floats(0, 1.2), min_size=7, max_size=7)).map(
    lambda drawn: list(accumulate((drawn[0], *(drawn[0] * share for share in drawn[1]))))
)
bursts = st.lists(st.integers(1, 60), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    pass_costs,
    st.floats(0.01, 1.2),
    st.none() | st.floats(0, 0.05),
    st.integers(0, 9),
    st.integers(0, len(TEXT_PRIOR) - 1),
    bursts,
)
def test_the_loss_is_bounded_from_the_first_token_on(
    tokenizer: Tokenizer,
    pass_ms: list[float],
    draft: float,
    text: float | None,
    grade: int,
    text_grade: int,
    lengths: list[int],
) -> None:
    """The adversary accepts in bursts, of `lengths` in turn: right, wrong, right, ..."""
    ends = list(accumulate(lengths))

    def accepts(place: int) -> bool:
        return sum(place % ends[-1] >= end for end in ends) % 2 == 1

    world = World(
        pass_ms,
        draft * pass_ms[0],
        accepts,
        grade,
        text_ms=None if text is None else text * pass_ms[0],
        text_grade=text_grade,
    )
    for _ in range(400):
        world.round(tokenizer)
        slack = MS * pass_ms[0] * (MOST_AHEAD + (text or 0.0) + 1e-6)
        assert world.now <= (1 + TOLERANCE) * world.plain + slack


@pytest.mark.parametrize("grade", [0, 5, 9])
@pytest.mark.parametrize("draft_ms", [0.3, 31.0])
def test_who_accepts_nothing_after_much_was_accepted_costs_little(
    tokenizer: Tokenizer, grade: int, draft_ms: float
) -> None:
    """What has been gained is not lost again: from any moment on the loss is bounded, too."""
    pass_ms = [44 + 3 * size for size in range(8)]
    world = World(pass_ms, draft_ms, lambda place: place < 4000, grade)
    while world.committed < 4000:
        world.round(tokenizer)
    begin, plain = world.now, world.plain
    for _ in range(3000):
        world.round(tokenizer)
    assert world.now - begin <= (1 + TOLERANCE) * (world.plain - plain) + (MOST_AHEAD + 0.1) * MS * pass_ms[0]


@pytest.mark.parametrize(("slowdown", "rounds", "gain"), [(1.0, 2000, 1.5), (1.5, 200, 1.3)])
def test_what_pays_is_used(tokenizer: Tokenizer, slowdown: float, rounds: int, gain: float) -> None:
    """The bound is no excuse: a good draft model at the prices of a real pair is used nearly always, also where passes
    have come to take longer than at load, which is not the drafts' fault."""
    known_ms = [44.0 + 2 * size for size in range(8)]
    pass_ms = [slowdown * each for each in known_ms]
    world = World(pass_ms, 6.0 * slowdown, lambda place: place % 10 != 0, 8, known_ms=known_ms)
    for _ in range(rounds):
        world.round(tokenizer)
    assert world.controller.choices[Choice.MODEL] > 0.75 * rounds
    assert world.plain > gain * world.now


def test_passes_dearer_than_at_load_are_found_out(tokenizer: Tokenizer) -> None:
    """What a plain pass costs is not lost sight of while every pass has a draft; the bound then holds."""
    known_ms = [44.0 + 3 * size for size in range(8)]
    pass_ms = [44.0 + 12 * size for size in range(8)]
    world = World(pass_ms, 0.3, lambda place: False, 9, text_ms=0.1, text_grade=9, known_ms=known_ms)
    for _ in range(2000):
        world.round(tokenizer)
    assert world.now < 1.1 * world.plain
    assert world.controller.costs.seconds(1) == pytest.approx(MS * pass_ms[0], rel=0.02)
    begin, plain = world.now, world.plain
    for _ in range(2000):
        world.round(tokenizer)
    assert world.now - begin <= (1 + TOLERANCE) * (world.plain - plain) + MOST_AHEAD * MS * pass_ms[0]


def test_prices_at_which_no_draft_can_pay_are_never_tried(tokenizer: Tokenizer) -> None:
    world = World([2.0 * size for size in range(1, 9)], 1.0, lambda place: True, 9)
    for _ in range(1000):
        world.round(tokenizer)
    assert world.controller.choices[Choice.DEAR] == world.committed - world.controller.choices[Choice.BUDGET]
    assert world.now == pytest.approx(world.plain)
