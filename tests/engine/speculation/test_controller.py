"""The controller's choices, and that a draw at a temperature keeps the target's distribution."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from flash_engine import KVCache, Logits, Tokenizer
from flash_engine.speculation import (
    Bounds,
    Choice,
    Controller,
    Corpus,
    DraftCosts,
    PassCosts,
    Source,
    Speculator,
    TextDrafter,
)
from flash_engine.speculation.ledger import TOLERANCE

from ..scripted import CONFIG, ScriptedBackend, ScriptedCache
from .eager import eager_session

MS = 1e-3


def controller(*pass_ms: float, draft_ms: float = 0.1) -> Controller:
    """One that may lose a second."""
    one = Controller(PassCosts([MS * each for each in pass_ms]), DraftCosts(MS * draft_ms, MS * draft_ms))
    one.ledger.ahead = 1.0
    return one


def test_length_is_the_best_of_all() -> None:
    """Against the expected tokens and costs of every length."""
    costs = (2.0, 2.4, 2.9, 3.3, 4.2, 5.0, 5.5, 6.3)
    rng = np.random.default_rng(0)
    for _ in range(200):
        grades = rng.integers(0, 10, rng.integers(0, 8)).tolist()
        one = controller(*costs)
        chances = np.cumprod([(grade + 0.5) / 10 for grade in grades])
        gains = [
            sum(chances[:n]) - one.rates[Source.MODEL]() * MS * (costs[n] - costs[0])
            for n in range(len(grades) + 1)
        ]
        length, gain = one.best_length(Source.MODEL, grades, 0.0)
        if max(gains) > 0.05:
            assert gain == pytest.approx(max(gains))
            assert length == int(np.argmax(gains))
        else:
            assert (length, gain) == (0, 0.0)


def test_a_token_is_worth_what_its_neighbours_take() -> None:
    """Known text that goes by fast makes a draft of new text no dearer."""
    one = controller(2.0, 2.4, 2.9, 3.3, 4.2, 5.0, 5.5, 6.3)
    new = one.best_length(Source.MODEL, [4, 4, 4], 0.0)
    known = one.best_length(Source.TEXT, [4, 4, 4], 0.0)
    for _ in range(200):
        one.finished(Source.TEXT, 8, 6.3 * MS)
        one.finished(Source.MODEL, 1, 2.0 * MS)
    assert one.best_length(Source.MODEL, [4, 4, 4], 0.0) == pytest.approx(new)
    assert one.best_length(Source.TEXT, [4, 4, 4], 0.0) < known
    one.decoded_plainly(1000, 0.0)
    assert one.rates[Source.MODEL]() == pytest.approx(500)


def test_linear_costs_leave_nothing_to_gain() -> None:
    one = controller(*range(2, 17, 2))
    assert one.best_length(Source.TEXT, [8] * 7, 0.0) == (0, 0.0)


def test_a_draft_model_that_does_not_pay_pauses_ever_longer_and_is_tried_again() -> None:
    one = controller(*[2.0] * 8, draft_ms=1.0)
    rounds = [one.objection(1, 0.0) is None and (one.tried_model(0.0, 1) or True) for _ in range(4000)]
    assert rounds[0]
    assert sum(rounds) < 100
    assert any(rounds[2000:])
    starts = [at for at in range(1, 4000) if rounds[at] and not rounds[at - 1]]
    pauses = np.diff(starts)
    assert list(pauses) == sorted(pauses)


def test_a_prompt_is_read_only_if_it_pays() -> None:
    one = controller(*[2.0] * 8)
    assert one.objection(10, 0.0) is None
    assert one.objection(20_000, 0.0) is Choice.UNREAD


def test_costs_follow_what_is_measured() -> None:
    costs = PassCosts([MS] * 8)
    for _ in range(100):
        costs.measured(1, 2 * MS)
    assert costs.seconds(1) == pytest.approx(2 * MS, rel=0.05)
    assert costs.seconds(8) > 1.3 * MS, "a busier machine is busier for all sizes"
    costs.measured(1, 1000.0)
    assert costs.seconds(1) < 3 * MS, "one outlier is no new speed"


def test_costs_of_drafts_follow_what_is_measured() -> None:
    """The first token apart from the further ones; one outlier is no new cost."""
    costs = DraftCosts(0.2 * MS, 0.2 * MS)
    for number in range(200):
        tokens = 1 + number % 4
        costs.measured(tokens, (0.6 + 0.25 * (tokens - 1)) * MS)
    assert costs.first == pytest.approx(0.6 * MS, rel=0.05)
    assert costs.further == pytest.approx(0.25 * MS, rel=0.1)
    costs.measured(1, 1000.0)
    assert costs.first < 0.7 * MS


def test_a_draft_goes_on_while_it_pays() -> None:
    one = controller(2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 3.8, 4.1)
    first, second, *_ = one.bars(0.0, 7)
    likely, unlikely = (one.acceptance[Source.MODEL].chances[grade] for grade in (9, 0))
    assert first < 1
    assert unlikely < second < likely


def test_a_draft_is_no_longer_than_what_is_affordable() -> None:
    one = controller(2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 3.8, 4.1)
    one.ledger.ahead = 3 * (0.3 + 0.1) * MS - TOLERANCE * 2.0 * MS + 1e-9
    assert len(one.bars(0.0, 7)) == 3
    assert not one.bars(1.0, 7)


def test_what_is_proposed_is_judged_whether_it_is_verified_or_not(tokenizer: Tokenizer) -> None:
    """So a source that was thought bad is seen to be good without a pass spent on it."""
    one = Controller(PassCosts([float(size) for size in range(1, 9)]))
    corpus = Corpus(tokenizer)
    text = list(range(300, 360))
    corpus.add(text)
    speculator = Speculator(one, None, TextDrafter(corpus))
    acceptance = one.acceptance[Source.TEXT]
    before = acceptance.chances.copy()
    for end in range(3, 40):
        assert not speculator.rests(text[:end])
        assert not speculator.propose(text[:end], Bounds(tokenizer, 7, b"", frozenset(), b""))
        speculator.verified(1.0)
        speculator.chosen(text[end])
    assert one.choices[Choice.UNSURE] == 37
    assert acceptance.chances[9] > before[9]
    assert not any(acceptance.judged)


def test_a_round_without_a_draft_model_and_a_known_text_rests(tokenizer: Tokenizer) -> None:
    one = controller(*[2.0] * 8)
    speculator = Speculator(one, None, TextDrafter(Corpus(tokenizer)))
    ahead = one.ledger.ahead
    for _ in range(5):
        assert speculator.rests([300, 301, 302])
    assert one.choices[Choice.UNSURE] == speculator.tally.passes == 5
    assert one.ledger.ahead == ahead


class FourTokens(ScriptedBackend):
    """The next token is one of four; how likely each is depends on the last."""

    def __init__(self, tilt: float) -> None:
        super().__init__(lambda tokens: 0)
        self._tilt = tilt

    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, ScriptedCache)
        rows = np.full((len(tokens), CONFIG.vocab_size), -1e9, np.float32)
        for row, token in enumerate(tokens):
            cache.tokens.append(token)
            rows[row, 100:104] = self._tilt * np.array([(token * k) % 5 for k in range(1, 5)])
        return rows[len(tokens) - logits :]


def test_draws_have_the_distribution_of_the_main_model(tokenizer: Tokenizer) -> None:
    """Chi-squared over all 64 sequences of three tokens after the first, drafts from another model: below the 99.9 %
    quantile for 63 degrees of freedom."""
    main, draft = FourTokens(0.5), FourTokens(0.9)
    temperature, count = 1.3, 2500

    def chance(before: int, token: int) -> float:
        scores = np.exp(0.5 * np.array([(before * k) % 5 for k in range(1, 5)]) / temperature)
        return float(scores[token - 100] / scores.sum())

    seen = dict.fromkeys(itertools.product(range(100, 104), repeat=3), 0)
    session = eager_session(main, tokenizer, draft)
    for seed in range(count):
        session.sync([7, 101])
        session.trim(2)
        drawn = tuple(
            token.id for token in session.generate(max_tokens=3, temperature=temperature, seed=seed)
        )
        seen[drawn] += 1
    assert session.speculation.accepted[Source.MODEL] > count / 10
    expected = {(a, b, c): count * chance(101, a) * chance(a, b) * chance(b, c) for a, b, c in seen}
    assert sum((seen[each] - expected[each]) ** 2 / expected[each] for each in seen) < 103.4
