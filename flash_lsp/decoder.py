"""The server's side of the model thread: loads the engine, runs one decode at a time, keeps the KV caches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cachetools import LRUCache

from flash_engine import Cancel, Cancelled, Engine, FlashError, Session
from flash_lsp.completer import Completer
from flash_lsp.context.lineage import Lineage, new_lineage
from flash_lsp.context.plan import Planner
from flash_lsp.context.recent import Surroundings
from flash_lsp.filters.statement import statement_end
from flash_lsp.flight import Guess, Job
from flash_lsp.inference import InferenceEngine
from flash_lsp.recall import Recall
from flash_lsp.settings import QUANTIZE, Settings
from flash_lsp.study import Changes, Study
from flash_lsp.suggestion import Suggestion

logger = logging.getLogger(__name__)

ENGINE_ERROR = "engine-error"

_MOMENT = 0.15
"""Seconds without a decode after which work behind begins: about a key's gap."""

_KEEPING_SECONDS = 5.0


@dataclass(slots=True)
class Spent:
    """Tokens since the start: of everything the engine did for documents, given-up decodes included."""

    computed_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    decodes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    behind_tokens: int = 0
    """Computed behind the suggestions, while nothing was wanted: full windows after jumps, and context. Not among
    `computed_tokens`."""


class ModelDecoder:
    """Decodes on the engine's model thread and reports on the event loop `loop`."""

    LINEAGES = 3
    """Documents whose KV cache is kept where no memory plan was made."""

    def __init__(
        self,
        engine: InferenceEngine,
        completer: Completer,
        loop: asyncio.AbstractEventLoop,
        recall: Recall | None = None,
    ) -> None:
        """recall: what keeps KV caches for the next start; None: nothing is kept."""
        self._recall = recall
        self.spent = Spent()
        self._engine = engine
        self._completer = completer
        self._loop = loop
        self._study = Study(engine) if isinstance(engine, Engine) else None
        self._changes = Changes(loop, self._read)
        caches = engine.plan.caches if engine.plan else self.LINEAGES + 1
        # One more cache is filled behind the one that answers.
        self._lineages: LRUCache[str, Lineage] = LRUCache(max(caches - 1, 1))
        self._planner = Planner()
        self._surroundings: Callable[[str], Surroundings | None] = lambda uri: None
        self._pause: asyncio.TimerHandle | None = None
        self._interrupt = Cancel()

    @property
    def device(self) -> str:
        """The model and what computes it, for people."""
        return f"{self._engine.name} on {self._engine.backend.name}"

    @property
    def warning(self) -> str | None:
        """Why suggestions may be worse than the model, for people."""
        return self._completer.template.warning

    def speculation(self) -> dict[str, Any] | None:
        """What the controller of speculation knows (Controller.figures) and `text_tokens`, of those that drafts may be
        taken from; None where decoding is plain."""
        controller = self._engine.speculation if isinstance(self._engine, Engine) else None
        if controller is None or not isinstance(self._engine, Engine):
            return None
        return {**controller.figures(), "text_tokens": len(self._engine.corpus.index)}

    def start(
        self,
        job: Job,
        progress: Callable[[str], None],
        done: Callable[[Suggestion], None],
        guessed: Callable[[Guess], None],
    ) -> Callable[[], None]:
        """Queue a decode; see flight.Decoder. A cancelled one reports nothing more."""
        cancel = Cancel()
        self._stop_behind()

        def work() -> None:
            self._report(self._follow, job)
            if cancel.is_set():
                return
            suggestion = self._decode(
                job,
                cancel,
                lambda text: self._report(progress, text),
                lambda guess: self._report(guessed, guess),
            )
            if not cancel.is_set():
                self._report(done, suggestion)

        self._engine.submit(work)
        return cancel.set

    def look_around(self, surroundings: Callable[[str], Surroundings | None]) -> None:
        """Take what is around a document, by its URI, from now on: what its context is made of; None: no context."""
        self._surroundings = surroundings

    def changed(self, uri: str, text: Callable[[], str | None]) -> None:
        """A document was opened or edited: drafts may be taken from its `text`, asked for later; None: they may not."""
        if self._study:
            self._changes.note(uri, text)

    def forget(self, uri: str) -> None:
        """Drop what the model keeps of a closed document."""
        self._changes.forget(uri)

        def forget() -> None:
            lineage = self._lineages.pop(uri, None)
            if lineage:
                self._keep(uri, lineage)
            if self._study:
                self._study.forget(uri)

        self._engine.submit(forget, urgent=False)

    def close(self) -> None:
        """Put away what is to be kept, and end the model thread."""
        self._stop_behind()
        if self._recall:
            with contextlib.suppress(RuntimeError, TimeoutError):  # closed already; the model is busy
                self._engine.submit(self._keep_all).result(_KEEPING_SECONDS)
        self._engine.close()

    def _decode(
        self,
        job: Job,
        cancel: threading.Event,
        progress: Callable[[str], None],
        guessed: Callable[[Guess], None],
    ) -> Suggestion:
        lineage = self._lineages.get(job.uri)
        if lineage is None:
            lineage = self._lineages[job.uri] = self._begin(job)
        lineage.face(job)
        session = lineage.session
        counted = session.computed, session.reused
        suggestion = _NOTHING

        def count() -> None:
            nonlocal counted
            self.spent.computed_tokens += session.computed - counted[0]
            self.spent.reused_tokens += session.reused - counted[1]
            counted = session.computed, session.reused

        def grown(text: str) -> None:
            count()
            progress(text)

        try:
            suggestion = self._completer.complete(
                job.path,
                job.place.prefix,
                job.place.suffix,
                session=session,
                state=lineage.state,
                max_lines=job.max_lines,
                max_tokens=job.max_tokens,
                min_logprob=job.min_logprob,
                cancel=cancel,
                progress=grown,
                seconds=job.seconds,
                guessed=guessed,
                statement_end=partial(statement_end, job.place.language, job.statement_lines),
            )
            if job.candidates > 1:
                others = self._completer.alternatives(
                    suggestion,
                    job.path,
                    job.place.prefix,
                    job.place.suffix,
                    session=session,
                    state=lineage.state,
                    max_lines=job.max_lines,
                    max_tokens=job.max_tokens,
                    count=job.candidates - 1,
                    cancel=cancel,
                )
                suggestion = replace(suggestion, others=tuple(others))
        except Cancelled:
            pass
        except FlashError as error:
            logger.error("%s", error)
            suggestion = replace(_NOTHING, silence=getattr(error, "silence", ENGINE_ERROR))
            del self._lineages[job.uri]
        except Exception as error:
            logger.error("the engine failed on %s: %s", job.uri, type(error).__name__)
            del self._lineages[job.uri]
        else:
            if self._study and isinstance(session, Session):
                self._study.place(job.uri, job.place, session, suggestion.tokens)
        self.spent.decodes += 1
        count()
        self.spent.generated_tokens += suggestion.tokens
        self.spent.drafted_tokens += sum(suggestion.drafted.values())
        self.spent.accepted_tokens += sum(suggestion.accepted.values())
        return suggestion

    def _follow(self, job: Job) -> None:
        """Once nothing has been wanted for a moment, compute behind what `job` had to do without."""
        self._stop_behind()
        self._pause = self._loop.call_later(_MOMENT, self._begin_behind, job)

    def _stop_behind(self) -> None:
        self._interrupt.set()
        if self._pause:
            self._pause.cancel()

    def _begin_behind(self, job: Job) -> None:
        around = self._surroundings(job.uri)
        cancel = self._interrupt = Cancel()
        if around is not None:
            with contextlib.suppress(RuntimeError):  # the engine is closed
                self._engine.submit(lambda: self._advance(job, around, cancel), urgent=False)

    def _advance(self, job: Job, around: Surroundings, cancel: threading.Event) -> None:
        lineage = self._lineages.get(job.uri)
        if lineage is None:
            return
        try:
            self.spent.behind_tokens += lineage.advance(job, around, self._planner, cancel)
        except Exception as error:
            logger.error("the engine failed on the context of %s: %s", job.uri, type(error).__name__)
            self._lineages.pop(job.uri, None)

    def _begin(self, job: Job) -> Lineage:
        lineage = new_lineage(self._engine, self._completer, self._recall)
        if self._recall and isinstance(lineage.session, Session):
            place = job.place
            prompt = self._completer.prompt(
                job.path, place.prefix, place.suffix, state=lineage.state, max_tokens=job.max_tokens
            )
            self._recall.restore(lineage.session, job.uri, prompt.tokens)
        return lineage

    def _read(self, uri: str, text: str) -> None:
        study = self._study
        if study:
            with contextlib.suppress(RuntimeError):  # the engine is closed
                self._engine.submit(lambda: study.text(uri, text), urgent=False)

    def _keep(self, uri: str, lineage: Lineage) -> None:
        if self._recall and isinstance(lineage.session, Session):
            self._recall.keep(lineage.session, uri)

    def _keep_all(self) -> None:
        for uri, lineage in self._lineages.items():
            self._keep(uri, lineage)

    def _report(self, callback: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(callback, *values)


_NOTHING = Suggestion(
    text="",
    finish="error",
    tokens=0,
    logprob=0.0,
    first_ms=0.0,
    total_ms=0.0,
    reused=0,
    computed=0,
    silence=ENGINE_ERROR,
)


class NoModel:
    """Stands in for a decoder when the model could not be loaded: every request is answered with nothing."""

    def start(
        self,
        job: Job,
        progress: Callable[[str], None],
        done: Callable[[Suggestion], None],
        guessed: Callable[[Guess], None],
    ) -> Callable[[], None]:
        done(_NOTHING)
        return lambda: None


def load_model(
    settings: Settings, loop: asyncio.AbstractEventLoop, progress: Callable[[str, float], None]
) -> ModelDecoder:
    """Load the model that the settings name, or connect to the server that they name. Takes a second or more; raises
    FlashError."""
    if settings.remote:
        from flash_lsp.remote.connect import connect

        remote = connect(settings, progress)
        return ModelDecoder(remote, Completer(remote, template=remote.template, budget=remote.budget), loop)
    engine = Engine.load(
        settings.model,
        draft=None if settings.draft == "none" else settings.draft,
        speculation=settings.speculation,
        device=settings.device,
        threads=settings.threads,
        quantize=QUANTIZE[settings.quantize],
        progress=progress,
    )
    try:
        completer = Completer(engine, template=settings.template or None)
    except FlashError:
        engine.close()
        raise
    recall = Recall(engine, completer, settings.kv_store_mb) if settings.kv_store_mb else None
    return ModelDecoder(engine, completer, loop, recall)
