"""One session's speculation: drafts for its next pass, verdicts on them, and what came of it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Self

from flash_engine.speculation.controller import Choice, Controller
from flash_engine.speculation.draft import LONGEST, Bounds, Draft, Source
from flash_engine.speculation.model import Finish, ModelDrafter
from flash_engine.speculation.text import TextDrafter

_RESTS = (8, 32)
"""Rounds of a rest at least, for each ends with thinking again, and at most."""


@dataclass(slots=True)
class Tally:
    """Tokens verified as drafts and those accepted, by source."""

    drafted: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(Source, 0))
    accepted: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(Source, 0))
    passes: int = 0
    """Passes of the main model, those without a draft included."""

    def since(self, before: Tally) -> Tally:
        """What has been added since `before`, a copy of an earlier state."""
        return Tally(
            {source: self.drafted[source] - before.drafted[source] for source in Source},
            {source: self.accepted[source] - before.accepted[source] for source in Source},
            self.passes - before.passes,
        )

    def copy(self) -> Tally:
        return self.since(Tally())


@dataclass(slots=True)
class _Round:
    """One pass of the main model with a draft, or without."""

    choice: Choice
    source: Source = Source.TEXT
    draft: Draft = field(default_factory=Draft)
    length: int = 0
    """Tokens of the draft that are verified."""
    stretch: Source = Source.MODEL
    """TEXT if texts had a proposal, whatever was chosen."""
    seconds: float = 0.0
    """Spent on drafting and, once it is done, on the pass."""
    accepted: int = 0
    is_verified: bool = False


class Speculator:
    """Drafts for one session. `model` and `texts` may each be None."""

    def __init__(
        self,
        controller: Controller,
        model: ModelDrafter | None,
        texts: TextDrafter | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """clock: in seconds."""
        self.tally = Tally()
        self._controller = controller
        self._model = model
        self._texts = texts
        self._clock = clock
        self._round: _Round | None = None
        self._resting = 0
        self._begun = 0.0
        """When thinking about the next pass began."""
        self._plain = 0
        self._thought = 0.0
        """Rounds without a proposal that the controller does not know of yet, and the seconds of finding that out."""

    def rests(self, tokens: Sequence[int]) -> bool:
        """Whether the next pass, of the last of `tokens`, is plain, with no proposal asked for: no loss is affordable
        until some tokens are out, or there is nothing to draft from.

        Even to think about drafts costs a little then: Python, its memory flushed from the caches by every pass.
        """
        self._finish()
        choice = Choice.BUDGET
        if self._resting:
            self._resting -= 1
        else:
            self._begun = self._clock()
            reason = self._hopeless(tokens) or self._unaffordable()
            if reason is None:
                return False
            choice = reason
            self._thought += self._clock() - self._begun
        self._plain += 1
        self._controller.choices[choice] += 1
        self.tally.passes += 1
        return True

    def propose(
        self, tokens: Sequence[int], bounds: Bounds, cancel: threading.Event | None = None
    ) -> list[int]:
        """What to verify in the pass of the last of `tokens`; [] for a plain pass. `rests` has just said no. Raises
        Cancelled."""
        controller, begin = self._controller, self._begun
        round_ = self._best(tokens, bounds, begin, cancel) if bounds.most > 0 else _Round(Choice.UNSURE)
        self._round = round_
        controller.choices[round_.choice] += 1
        self.tally.passes += 1
        self.tally.drafted[round_.source] += round_.length
        dearest = max(2 * round_.seconds, controller.costs.seconds(1))
        round_.seconds = min(self._clock() - begin, dearest)
        return round_.draft.tokens[: round_.length]

    def verified(self, seconds: float) -> None:
        """The pass with the last proposal took `seconds`. It is booked at what such a pass costs by now: what this one
        took beyond that is the machine's doing, and would have befallen a plain pass, too."""
        if self._round:
            costs, size = self._controller.costs, 1 + self._round.length
            costs.measured(size, seconds)
            self._round.seconds += costs.seconds(size)
            self._round.is_verified = True

    def chosen(self, token: int) -> None:
        """`token` is the session's next one: a verdict on the draft, as far as it was right until now."""
        round_ = self._round
        if round_ is None:
            return
        place, draft = round_.accepted, round_.draft
        if place == len(draft.tokens):
            self._finish()
            return
        right = draft.tokens[place] == token
        acceptance = self._controller.acceptance[round_.source]
        acceptance.judge(draft.grades[place], right)
        if place < round_.length:
            acceptance.verified(place, right)
            round_.accepted += right
            self.tally.accepted[round_.source] += right
        if not right or place == round_.length:
            self._finish()

    def truncate(self, length: int) -> None:
        """Only the first `length` tokens of the session are still the same."""
        self._finish()
        if self._model:
            self._model.truncate(length)

    def read(self, tokens: Sequence[int]) -> bool:
        """Have the draft model read a few of `tokens` ahead of need; whether it is still behind."""
        if self._model is None:
            return False
        controller = self._controller
        count = min(controller.reading_step, self._model.behind(tokens) - 1)
        begin = self._clock()
        self._model.read(tokens, count)
        if count > LONGEST:
            controller.read(count, self._clock() - begin)
        return self._model.behind(tokens) > 1

    def answers_first(self, tokens: Sequence[int], missing: int, reading: float, seconds: float) -> bool:
        """Whether the draft model should answer after `tokens` before the main model does. missing: of `tokens` those
        that the main model has to read, which takes at least a pass. reading: seconds of them by the speed of long
        prompts. seconds: within which an answer is wanted."""
        if self._model is None:
            return False
        controller = self._controller
        least = controller.costs.seconds(min(missing, LONGEST + 1)) if missing else 0.0
        return controller.answers_first(max(reading, least), self._model.behind(tokens), seconds)

    def guess(
        self, tokens: Sequence[int], bounds: Bounds, cancel: threading.Event | None
    ) -> Generator[tuple[int, float], None, Finish]:
        """The draft model's answer; see ModelDrafter.guess. Raises ValueError without a draft model."""
        if self._model is None:
            raise ValueError("there is no draft model to guess")
        chances = self._controller.acceptance[Source.MODEL].chances
        return self._model.guess(tokens, bounds, chances, self._controller.guess_step, cancel)

    def fork(self) -> Self:
        """For a fork of the session, with a tally of its own."""
        return type(self)(self._controller, self._model and self._model.fork(), self._texts, self._clock)

    def _hopeless(self, tokens: Sequence[int]) -> Choice | None:
        """Why without any search nothing can be drafted: the draft model is not to be asked, and the texts do not know
        the end of `tokens`. None: something can."""
        if self._texts and self._texts.knows(tokens):
            return None
        if self._model is None:
            return Choice.UNSURE
        return None if self._model.has_guess(len(tokens)) else self._controller.pause()

    def _unaffordable(self) -> Choice | None:
        """Why no draft can be made now: a rest begins. None: one can."""
        controller = self._controller
        controller.decoded_plainly(self._plain, self._thought)
        self._plain, self._thought = 0, 0.0
        # Two drafts, so that searching texts again and again does not use up what one draft of the model costs.
        passes = controller.ledger.passes_until(controller.price(behind=1, drafts=2), 2)
        return self._rest(passes) if passes else None

    def _best(
        self, tokens: Sequence[int], bounds: Bounds, begin: float, cancel: threading.Event | None
    ) -> _Round:
        """The round that promises most, its `seconds` those that its drafting should take."""
        controller, model = self._controller, self._model
        best, gain = _Round(Choice.UNSURE), 0.0
        if self._texts:
            draft = self._texts.draft(tokens, bounds)
            length, gain = controller.best_length(Source.TEXT, draft.grades, self._clock() - begin)
            stretch = Source.TEXT if draft.tokens else Source.MODEL
            best = _Round(Choice.TEXT if length else Choice.UNSURE, Source.TEXT, draft, length, stretch)
        guess = model.guessed(tokens, bounds) if model else Draft()
        length, more = controller.best_length(Source.MODEL, guess.grades, self._clock() - begin)
        if more > gain:
            return _Round(Choice.GUESS, Source.MODEL, guess, length, best.stretch)
        if model is None or (gain > 0 and gain >= controller.model_gain):
            return best
        behind = model.behind(tokens)
        objection = controller.objection(behind, self._clock() - begin)
        if objection is None:
            return self._draft(model, tokens, bounds, begin, best, gain, cancel)
        if not best.length:
            if objection is Choice.BUDGET:
                self._rest(controller.ledger.passes_until(controller.price(behind, 1), 1))
            best.choice = objection
        return best

    def _draft(
        self,
        model: ModelDrafter,
        tokens: Sequence[int],
        bounds: Bounds,
        begin: float,
        other: _Round,
        least: float,
        cancel: threading.Event | None,
    ) -> _Round:
        """A draft of the draft model's, or the `other` round if it gains no more than that one's `least`.

        What was affordable as a draft is affordable to verify, if it has taken longer than expected, too: else where
        little is affordable, drafts would be made and thrown away.
        """
        controller = self._controller
        behind = model.behind(tokens)
        start = self._clock()
        model.catch_up(tokens, cancel)
        begun = self._clock()
        bars = controller.bars(begun - begin, bounds.most)
        draft = model.draft(tokens, bounds, bars, controller.acceptance[Source.MODEL].chances, cancel)
        end = self._clock()
        expected = controller.price(behind, max(len(draft.tokens), 1))
        spent = begun - begin + min(end - begun, controller.draft_costs.seconds(len(draft.tokens)))
        if behind > LONGEST:
            controller.read(behind, begun - start)
        controller.draft_costs.measured(max(len(draft.tokens), 1), end - begun)
        length, gain = controller.best_length(Source.MODEL, draft.grades, spent)
        controller.tried_model(max(gain - least, 0.0), len(draft.tokens))
        if gain > least or not other.length:
            choice = Choice.MODEL if length else Choice.UNSURE
            return _Round(choice, Source.MODEL, draft, length, other.stretch, expected)
        other.seconds = expected
        return other

    def _rest(self, passes: int) -> Choice:
        """Make about so many rounds plain, this one included."""
        self._resting = min(max(passes, _RESTS[0]), _RESTS[1]) - 1
        return Choice.BUDGET

    def _finish(self) -> None:
        round_, self._round = self._round, None
        if round_:
            self._controller.finished(round_.stretch, round_.is_verified + round_.accepted, round_.seconds)
