"""A controller that drafts always and verifies all of it, so that tests do not depend on what is fast."""

from __future__ import annotations

from collections.abc import Sequence

from flash_engine import Backend, Session, Tokenizer
from flash_engine.pace import Pace
from flash_engine.speculation import (
    Controller,
    Corpus,
    DraftCosts,
    Lookup,
    ModelDrafter,
    PassCosts,
    Source,
    Speculator,
    TextDrafter,
)
from flash_engine.speculation.ledger import Ledger

FLAT = [0.001] * 8


class Lavish(Ledger):
    def passes_until(self, drafting: float, drafts: int) -> int:
        return 0


class Eager(Controller):
    def __init__(self) -> None:
        super().__init__(PassCosts(FLAT), DraftCosts(1e-6, 1e-6))
        self.ledger = Lavish(self.costs)

    def best_length(self, source: Source, grades: Sequence[int], drafting: float) -> tuple[int, float]:
        return len(grades), float(len(grades))

    def bars(self, drafting: float, most: int) -> list[float]:
        return [0.0] * most

    def pause(self) -> None:
        return None

    def objection(self, behind: int, drafting: float) -> None:
        return None


def eager_session(
    backend: Backend, tokenizer: Tokenizer, draft: Backend | None, corpus: Corpus | None = None
) -> Session:
    """A session that verifies all that `draft`, which reads along all that it finds, and `corpus` propose."""
    model = ModelDrafter(draft, Lookup(PassCosts(FLAT))) if draft else None
    speculator = Speculator(Eager(), model, TextDrafter(corpus) if corpus else None)
    return Session(backend, tokenizer, Pace(), speculator)
