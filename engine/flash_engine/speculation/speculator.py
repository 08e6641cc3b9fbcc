"""One session's speculation: drafts for its next pass, verdicts on them, and what came of it all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from flash_engine.speculation.controller import Controller
from flash_engine.speculation.draft import Bounds, Draft, Source
from flash_engine.speculation.model import ModelDrafter
from flash_engine.speculation.text import TextDrafter


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

    source: Source
    draft: Draft
    seconds: float
    """Spent on drafting."""
    accepted: int = 0


class Speculator:
    """Drafts for one session. `model` and `texts` may each be None."""

    def __init__(self, controller: Controller, model: ModelDrafter | None, texts: TextDrafter | None) -> None:
        self.tally = Tally()
        self._controller = controller
        self._model = model
        self._texts = texts
        self._round: _Round | None = None

    def propose(self, tokens: Sequence[int], bounds: Bounds) -> list[int]:
        """What to verify in the pass of the last of `tokens`; [] for a plain pass."""
        self._finish()
        round_ = self._best(tokens, bounds) if bounds.most > 0 else _plain()
        self._round = round_
        self.tally.passes += 1
        self.tally.drafted[round_.source] += len(round_.draft.tokens)
        return round_.draft.tokens

    def verified(self, seconds: float) -> None:
        """The pass with the last proposal took `seconds`."""
        if self._round:
            self._controller.costs.measured(1 + len(self._round.draft.tokens), seconds)

    def chosen(self, token: int) -> None:
        """`token` is the session's next one: a verdict on the draft, as far as it was right until now."""
        round_ = self._round
        if round_ is None or round_.accepted == len(round_.draft.tokens):
            return
        place = round_.accepted
        right = round_.draft.tokens[place] == token
        self._controller.acceptance[round_.source].judge(place, round_.draft.grades[place], right)
        if right:
            round_.accepted += 1
            self.tally.accepted[round_.source] += 1
        else:
            self._finish()

    def truncate(self, length: int) -> None:
        """Only the first `length` tokens of the session are still the same."""
        self._round = None
        if self._model:
            self._model.truncate(length)

    def read(self, tokens: Sequence[int], most: int) -> bool:
        """Have the draft model read up to `most` of `tokens` ahead of need; whether it is still behind."""
        if self._model is None:
            return False
        self._model.read(tokens, most)
        return self._model.behind(tokens) > 1

    def fork(self) -> Self:
        """For a fork of the session, with a tally of its own."""
        return type(self)(self._controller, self._model and self._model.fork(), self._texts)

    def _best(self, tokens: Sequence[int], bounds: Bounds) -> _Round:
        gain = 0.0
        best = _plain()
        if self._texts:
            draft = self._texts.draft(tokens, bounds)
            length, gain = self._controller.best_length(Source.TEXT, draft.grades)
            if length:
                best = _Round(Source.TEXT, draft.first(length), 0.0)
        model = self._model
        if model is None or (gain > 0 and gain >= self._controller.model_gain):
            return best
        if not self._controller.tries_model(model.behind(tokens)):
            return best
        return self._draft(model, tokens, bounds)

    def _draft(self, model: ModelDrafter, tokens: Sequence[int], bounds: Bounds) -> _Round:
        controller = self._controller
        behind = model.behind(tokens)
        start = time.perf_counter()
        model.read(tokens, behind)
        begun = time.perf_counter()
        draft = model.draft(tokens, bounds, controller)
        seconds = time.perf_counter() - begun
        if behind > 8:
            controller.read(behind, begun - start)
        controller.drafted(max(len(draft.tokens), 1), seconds)
        length, gain = controller.best_length(Source.MODEL, draft.grades)
        controller.tried_model(gain, len(draft.tokens))
        return _Round(Source.MODEL, draft.first(length), seconds)

    def _finish(self) -> None:
        round_, self._round = self._round, None
        if round_:
            costs = self._controller.costs
            self._controller.finished(
                1 + round_.accepted, round_.seconds + costs.seconds(1 + len(round_.draft.tokens))
            )


def _plain() -> _Round:
    return _Round(Source.MODEL, Draft(), 0.0)
