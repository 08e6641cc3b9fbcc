"""The KV caches of one document: the one that answers, and the one that is being filled behind it.

After a jump of the cursor, or when a document is opened, the text around the cursor is not in any cache. The first
suggestion then comes from a small window, which takes at most 250 ms to read; the full window, and a context that has
changed, are computed behind it, in steps that a keystroke interrupts, and take over when they are there. A cache that
serves is never given up for a better context before that one is ready.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from flash_engine import Cancelled, Engine, Session
from flash_engine.common import common_tokens
from flash_lsp.completer import PROMPT_TOKENS, Completer
from flash_lsp.context.plan import Planner
from flash_lsp.context.recent import Surroundings
from flash_lsp.flight import Job
from flash_lsp.inference import InferenceEngine, InferenceSession
from flash_lsp.prompt.builder import Prompt
from flash_lsp.prompt.window import ContextBlock, PromptState
from flash_lsp.recall import Recall

FIRST_SECONDS = 0.25
"""Prefill time that a first suggestion may take."""

CONTEXT_SECONDS = 1.5
"""Prefill time that the context may take, computed behind."""

CONTEXT_TOKENS = 512
"""The most that the context takes where the setting does not say."""

_SMALLEST = 96
"""Tokens of a window below which a suggestion is not worth its name."""

_NEARLY = 32
"""Tokens missing in a cache that is ready to take over: what was typed meanwhile."""


@dataclass(slots=True)
class Lineage:
    """What is kept of one document between keystrokes: a session, and what its prompts are made of."""

    session: InferenceSession
    state: PromptState

    def face(self, job: Job) -> None:
        """Get ready to answer `job`."""

    def advance(self, job: Job, around: Surroundings, planner: Planner, cancel: threading.Event) -> int:
        """Compute what is not wanted yet, until done or cancelled; returns the tokens computed."""
        return 0


def new_lineage(engine: InferenceEngine, completer: Completer, recall: Recall | None = None) -> Lineage:
    """A lineage for a document. An engine elsewhere keeps its caches itself, and is not shown other files.

    recall: what brings back caches of an earlier run; None: nothing does.
    """
    if isinstance(engine, Engine):
        return LocalLineage(engine, completer, recall)
    return Lineage(engine.session(), PromptState())


@dataclass(slots=True)
class _Track:
    session: Session
    state: PromptState


class LocalLineage(Lineage):
    """The KV caches of one document: the one that answers, and the one behind. Used on the model thread only."""

    def __init__(self, engine: Engine, completer: Completer, recall: Recall | None = None) -> None:
        self._engine = engine
        self._completer = completer
        self._recall = recall
        self._behind: _Track | None = None
        self._epoch: int | None = None
        self._use(_Track(engine.session(), PromptState()))

    def face(self, job: Job) -> None:
        """Choose the cache for `job`: the one behind if it is ready, else the present one, with a small window if the
        full one would take too long."""
        if self._behind and self._missing(self._behind, job) <= _NEARLY:
            self._use(self._behind)
            self._behind = None
        affordable = self._affordable()
        if affordable is not None and self._missing(self._front, job) > affordable:
            self._use(
                _Track(
                    self._front.session, PromptState(self._cached_context(), min(affordable, PROMPT_TOKENS))
                )
            )
            self._behind = None

    def advance(self, job: Job, around: Surroundings, planner: Planner, cancel: threading.Event) -> int:
        """Fill the cache behind: with a full window, or a context that has changed since the user came back here."""
        if self._behind is None:
            if self._epoch == around.epoch and self.state.budget is None:
                return 0
            self._epoch = around.epoch
            context = planner.plan(around, self._context_budget(around), self._context_size)
            same = context == tuple(self.state.context)
            if same and self.state.budget is None:
                return 0
            session = self._front.session.fork() if same and context else self._engine.session()
            self._behind = _Track(session, PromptState(context))
            if self._recall and not session.tokens:
                self._recall.restore(session, job.uri, self._prompt(self._behind, job).tokens)
        session = self._behind.session
        before = session.computed
        with contextlib.suppress(Cancelled):
            session.sync(self._prompt(self._behind, job).tokens, cancel=cancel)
            while not cancel.is_set() and session.read_ahead():
                pass
        return session.computed - before

    def _use(self, track: _Track) -> None:
        self._front = track
        self.session, self.state = track.session, track.state

    def _prompt(self, track: _Track, job: Job) -> Prompt:
        place = job.place
        return self._completer.prompt(
            job.path, place.prefix, place.suffix, state=track.state, max_tokens=job.max_tokens
        )

    def _missing(self, track: _Track, job: Job) -> int:
        """Tokens of the job's prompt that are not in the track's cache."""
        wanted = self._prompt(track, job).tokens
        return len(wanted) - common_tokens(wanted, track.session.tokens)

    def _cached_context(self) -> tuple[ContextBlock, ...]:
        """The present context, if its tokens are in the cache to its end."""
        context = tuple(self.state.context)
        tokens = self._completer.context_tokens(context)
        start = len(self._completer.template.start)
        held = tuple(self._front.session.tokens[start : start + len(tokens)])
        return context if held == tuple(tokens) else ()

    def _context_size(self, context: Sequence[ContextBlock]) -> int:
        return len(self._completer.context_tokens(context))

    def _affordable(self) -> int | None:
        """Tokens that can be read for a first suggestion; None while no speed is known."""
        speed = self._engine.prefill_speed
        return None if speed is None else max(int(speed * FIRST_SECONDS), _SMALLEST)

    def _context_budget(self, around: Surroundings) -> int:
        speed = self._engine.prefill_speed or 0.0
        wanted = min(CONTEXT_TOKENS, int(speed * CONTEXT_SECONDS)) if around.budget is None else around.budget
        return min(wanted, self._engine.backend.capacity - PROMPT_TOKENS - _RESERVE)


_RESERVE = 256
"""Tokens left for what is generated and for headers."""
