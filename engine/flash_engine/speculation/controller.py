"""Whether to draft, from which source, and how much of a draft to verify: what commits most tokens a second.

The reward of a round (one pass of the main model) is the tokens that it commits, its price the time it takes. The
best ratio is reached by choosing in each round what maximises tokens - rate * seconds, where `rate` is the ratio that
these choices reach (W. Dinkelbach, "On nonlinear fractional programming", 1967). Known text and new text come in
stretches, and a token saves the time that its neighbours take: so there is a rate for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from flash_engine.speculation.acceptance import Acceptance
from flash_engine.speculation.costs import DraftCosts, PassCosts, Rate
from flash_engine.speculation.draft import GRADES, LONGEST, Source
from flash_engine.speculation.ledger import Ledger
from flash_engine.speculation.lookup import Lookup
from flash_engine.speculation.text import PRIOR as TEXT_PRIOR

_FOLLOW = 0.04
"""How fast running means follow."""
_BENEFIT_OF_DOUBT = 0.03
"""Tokens a round that the draft model is taken to gain when it is tried."""
_PAUSES = (16, 1024)
"""Rounds until the draft model is tried again: at first, and at most."""
_WORTHWHILE = 0.05
"""Tokens that verifying a draft has to gain, or the pass is plain: that tells, too, what a plain one costs by now."""
_TYPICAL_ROUNDS = 8
"""Rounds over which reading a prompt with the draft model has to pay."""
_PLAUSIBLE = 0.9
"""Acceptance at which a draft model has to pay if it is to be tried at all."""

_ANSWER = 6
"""Tokens of an answer worth showing: about the rest of a line."""
_SOONER = 0.6
"""Of the main model's time, the draft model's for an answer that is given first: the main model waits for it."""
_READING_SECONDS = 0.005
"""Of reading ahead with the draft model, for which what comes then has to wait."""
_STEP_SECONDS = 0.010
"""Of a guess, until what there is can be shown."""


class Choice(StrEnum):
    """What was done in a round and, if it was a plain pass, why."""

    MODEL = "model"
    TEXT = "text"
    GUESS = "guess"
    """The draft model's own answer, which was given before the main model's."""
    DEAR = "plain: by their prices drafts cannot pay"
    BUDGET = "plain: no loss is affordable now"
    PAUSED = "plain: the draft model did not pay"
    UNREAD = "plain: the prompt is too long for the draft model to read it"
    UNSURE = "plain: no draft is likely enough"


class Controller:
    """One for all sessions of an engine: what was learnt is remembered from request to request."""

    def __init__(
        self, costs: PassCosts, draft_costs: DraftCosts | None = None, lookup: Lookup | None = None
    ) -> None:
        """draft_costs: of the draft model, if there is one; lookup: what that one reads along."""
        self.costs = costs
        self.ledger = Ledger(costs)
        self.choices: Counter[Choice] = Counter()
        """Rounds by what was chosen."""
        self.acceptance = {
            Source.MODEL: Acceptance([(grade + 0.5) / GRADES for grade in range(GRADES)]),
            Source.TEXT: Acceptance(TEXT_PRIOR),
        }
        self.rates = {source: Rate(costs) for source in Source}
        """Reached in rounds for which texts have a proposal, and in the others."""
        self.draft_costs = draft_costs or DraftCosts(0.0, 0.0)
        self.lookup = lookup
        self.read_seconds = self.draft_costs.further / 8
        self.model_gain = 2 * _BENEFIT_OF_DOUBT
        """Tokens that drafting with the model gains in a round, its time counted, as a running mean."""
        self._pause = _PAUSES[0]
        self._paused = 0
        self._reason = Choice.PAUSED
        self._rested = 0

    def best_length(self, source: Source, grades: Sequence[int], drafting: float) -> tuple[int, float]:
        """How many tokens of a draft of these grades to verify, and the tokens that this gains beyond a plain pass.

        drafting: seconds spent already, which count only in what is affordable.
        """
        if not grades:
            return 0, 0.0
        costs, rate, affordable = self.costs.table(), self.rates[source](), self.ledger.most - drafting
        chances = self.acceptance[source].chances
        best, most, expected, chance = 0, _WORTHWHILE, 0.0, 1.0
        for length, grade in enumerate(grades, 1):
            if costs[length] > affordable:
                break
            chance *= chances[grade]
            expected += chance
            gain = expected - rate * (costs[length] - costs[0])
            if gain > most:
                best, most = length, gain
        return (best, most) if best else (0, 0.0)

    def bars(self, drafting: float, most: int) -> list[float]:
        """How likely a draft of the draft model has to be, as a whole, to get another token: DraftRule.bars, of up to
        `most` tokens. drafting: seconds spent before the draft begins."""
        bars: list[float] = []
        worth = self.rates[Source.MODEL]() / self.acceptance[Source.MODEL].mean
        costs, affordable = self.costs.table(), self.ledger.most - drafting
        for length in range(1, most + 1):
            if self.draft_costs.seconds(length) + costs[length] > affordable:
                break
            price = self.draft_costs.further + costs[length] - costs[length - 1]
            bars.append(worth * price if bars else 0.0)
        return bars

    def answers_first(self, reading: float, behind: int, seconds: float) -> bool:
        """Whether by measured speeds the main model cannot answer within `seconds`, and the draft model can much
        sooner. reading: seconds of the prompt with the main model; behind: tokens of it that the draft model
        has to read."""
        main = reading + (_ANSWER - 1) * self.costs.seconds(1)
        return main > seconds and self.price(behind, _ANSWER) < _SOONER * main

    @property
    def guess_step(self) -> int:
        """Tokens of a guess that are drafted at a time."""
        return max(min(int(_STEP_SECONDS / self.draft_costs.further), LONGEST), 1)

    @property
    def reading_step(self) -> int:
        """Tokens that the draft model reads at a time while nobody waits."""
        return max(int(_READING_SECONDS / self.read_seconds), LONGEST + 1)

    def price(self, behind: int, drafts: int) -> float:
        """Seconds that the draft model is expected to take to read what it is `behind` and to draft so many tokens."""
        return (behind - 1) * self.read_seconds + self.draft_costs.seconds(drafts)

    def pause(self) -> Choice | None:
        """Why the draft model pauses, of which this is a round; None: it does not."""
        if not self._paused:
            return None
        self._paused -= 1
        return self._reason

    def objection(self, behind: int, drafting: float) -> Choice | None:
        """Why the draft model should not draft now, having `behind` tokens of the session to read first; None: it
        should. drafting: seconds of this round spent already.

        It pauses when it does not pay, ever longer, and is then tried again.
        """
        if pause := self.pause():
            return pause
        if not self._can_pay():
            self._paused, self._reason = _PAUSES[0] - 1, Choice.DEAR
            return Choice.DEAR
        if not self.ledger.affords(drafting + self.price(behind, 1), 1):
            return Choice.BUDGET
        if self.model_gain <= 0:
            self.model_gain = _BENEFIT_OF_DOUBT
        reading = behind * self.read_seconds * self.rates[Source.MODEL]()
        pays = behind <= max(self._rested, 2 * len(self.costs)) or reading < self.model_gain * _TYPICAL_ROUNDS
        return None if pays else Choice.UNREAD

    def tried_model(self, gain: float, drafted: int) -> None:
        """Take note that a round gains `gain` tokens by verifying what took the time of `drafted` tokens to draft."""
        gain -= self.rates[Source.MODEL]() * self.draft_costs.seconds(max(drafted, 1))
        self.model_gain += _FOLLOW * (gain - self.model_gain)
        if self.model_gain <= 0:
            self._paused = self._rested = self._pause
            self._reason = Choice.PAUSED
            self._pause = min(2 * self._pause, _PAUSES[1])
        elif self.model_gain > 2 * _BENEFIT_OF_DOUBT:
            self._pause = _PAUSES[0]

    def finished(self, stretch: Source, committed: int, seconds: float) -> None:
        """Take note of a round that committed tokens in `seconds`. stretch: TEXT if texts had a proposal."""
        self.rates[stretch].add(committed, seconds)
        self.ledger.settle(committed, seconds)

    def decoded_plainly(self, rounds: int, seconds: float) -> None:
        """Take note of plain rounds, before which `seconds` were spent on thinking about drafts."""
        plain = self.costs.seconds(1)
        self.rates[Source.MODEL].add(1, plain, rounds)
        self.ledger.settle(rounds, rounds * plain + seconds)

    def read(self, tokens: int, seconds: float) -> None:
        """Take note that the draft model read `tokens` in `seconds`."""
        self.read_seconds += _FOLLOW * (min(seconds / tokens, 2 * self.read_seconds) - self.read_seconds)

    def figures(self) -> dict[str, Any]:
        """What is known, for people: pass_ms of 1 to 8 tokens, draft_first_ms of the first token
        of a draft, draft_ms of each further one, looked_up (how often what the draft model reads along is right, by the
        length of the sequence that it was found behind), acceptance by source and position,
        model_gain (tokens a round), whether the draft model is `paused`, ahead_ms (what may be lost now: Ledger),
        and the rounds by choice."""
        return {
            "pass_ms": [round(1e3 * each, 3) for each in self.costs.table()],
            "draft_first_ms": round(1e3 * self.draft_costs.first, 3),
            "draft_ms": round(1e3 * self.draft_costs.further, 3),
            "looked_up": {str(length): round(share, 3) for length, share in self.lookup.right.items()}
            if self.lookup
            else {},
            "model_gain": round(self.model_gain, 3),
            "paused": self._paused > 0,
            "ahead_ms": round(1e3 * self.ledger.ahead, 3),
            "choices": {str(choice): count for choice, count in self.choices.most_common()},
            "acceptance": {
                str(source): [share and round(share, 3) for share in acceptance.by_position()]
                for source, acceptance in self.acceptance.items()
            },
        }

    def _can_pay(self) -> bool:
        """Whether by what is measured some length of draft would gain at a high acceptance."""
        plain, expected = self.costs.seconds(1), 0.0
        for length in range(1, LONGEST + 1):
            expected += _PLAUSIBLE**length
            price = self.draft_costs.seconds(length) + self.costs.seconds(1 + length) - plain
            if expected * plain > price:
                return True
        return False
