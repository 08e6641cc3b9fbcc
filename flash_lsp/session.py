"""One document's completion session: what is shown, what is known, what is being decoded, and who waits for it.

A plain state machine without threads: everything here runs on the server's event loop. Time comes from a `Clock`,
text from a `Decoder`, and every request is answered exactly once, through its `reply` callback.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flash_lsp import filters, power
from flash_lsp.answers import Answer, Answers, Place, distinct
from flash_lsp.flight import Decoder, Flight, Guess, Job
from flash_lsp.gate import MANUAL_ONLY, unsuitable
from flash_lsp.pending import Clock, Pending, Reply, Timer
from flash_lsp.placement import MID_LINE, PAIRS, cursor_after, line_limit, statement_limit
from flash_lsp.settings import Settings
from flash_lsp.text import Document, Edit

if TYPE_CHECKING:
    from flash_lsp.suggestion import Suggestion


OUT_OF_TIME = "out-of-time"

READ_AFTER = 0.2
"""Seconds without a key after which a suggestion is being read, and may be accepted."""

_AT_ONCE = 0.02
"""Seconds within which no person types a second key: what closes a pair then is the editor's."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The last reply that more text may follow, while the document stays as it was."""

    place: Place
    offset: int
    text: str


class DocumentSession:
    """The state of one open document. `path` is what the prompt calls it.

    `ready(offset)` is called when asking again at `offset`, where the last reply was given, would get more.
    """

    def __init__(
        self,
        document: Document,
        settings: Settings,
        clock: Clock,
        *,
        path: str = "",
        decoder: Decoder | None = None,
        ready: Callable[[int], None] = lambda offset: None,
        veto: Callable[[Document, Settings], str | None] = unsuitable,
    ) -> None:
        """`veto` names the reason for saying nothing anywhere in the document, if there is one."""
        self.document = document
        self.settings = settings
        self._path = path or document.uri
        self._clock = clock
        self._decoder = decoder
        self._ready = ready
        self._veto = veto
        self._answers = Answers()
        self._shown: Answer | None = None
        self._told: _Told | None = None
        self._flight: Flight | None = None
        self._target: Place | None = None
        self._pending: Pending | None = None
        self._follows_typing = False
        self._reading: Timer | None = None
        self._cursor = -1
        self._edited = -_AT_ONCE

    def attach(self, decoder: Decoder) -> None:
        """Give the session its decoder, once the model is loaded."""
        self._decoder = decoder
        if self._pending:
            self._fly(self._pending.place, seconds=self._pending.seconds)

    def changed(self, edits: Sequence[Edit]) -> None:
        """The document has changed: what waited is out of date, and decoding starts where typing seems to be."""
        if not edits:
            return
        self._silence_pending("superseded")
        self._told = None
        self._stop_reading()
        cursor = self._follow(edits[-1])
        place = self._target = self._place(cursor, cursor)
        if self._flight and not self._flight.agrees(place) and not self._flight.is_ahead_of(place):
            self._land()
        if len(edits) == 1 and edits[0].inserted and self._follows_typing:
            self._decode_ahead(place, self.settings.deadline_ms / 1000)

    def request(
        self,
        start: int,
        end: int,
        reply: Callable[[Reply], None],
        *,
        chosen: str = "",
        invoked: bool = False,
        candidates: int = 1,
        deadline_ms: int | None = None,
    ) -> Callable[[], None]:
        """Ask for a suggestion at the cursor `end`; returns what withdraws the request.

        While the editor's completion menu is open, `chosen` is its selected entry, which would replace the text from
        `start` on; otherwise `start` equals `end`. `invoked`: the user asked for it, so it may stand inside a line.
        candidates: different texts to choose from; with more than one, none is held back for want of confidence.
        deadline_ms: when an unfinished text is good enough for a reply, if not at the deadline of the settings.
        """
        self._silence_pending("superseded")
        self._told = None
        self._stop_reading()
        place = self._place(start, end, chosen)
        pending = self._pending = Pending(place, end, self.document.version, self._clock, reply, candidates)
        self._follows_typing = not invoked and not chosen
        deadline = self.settings.deadline_ms if deadline_ms is None else deadline_ms
        self._serve(pending, deadline / 1000, invoked=invoked)

        def withdraw() -> None:
            if pending is self._pending:
                self._silence_pending("cancelled")

        return withdraw

    def relax(self) -> None:
        """Give up a decode that no request waits for, so that another document gets the model."""
        self._stop_reading()
        if not self._pending:
            self._land()

    def close(self) -> None:
        """Answer what waits and stop decoding."""
        self._stop_reading()
        self._silence_pending("closed")
        self._land()

    def _place(self, start: int, end: int, between: str = "") -> Place:
        text = self.document.text
        return Place.between(text[:start] + between, text[end:], self.document.language_id)

    def _follow(self, edit: Edit) -> int:
        """Where the cursor most likely is after `edit`, the last one."""
        text, now = self.document.text, self._clock.time()
        by_editor = edit.start == self._cursor and now - self._edited < _AT_ONCE
        if not (by_editor and edit.start and text[edit.start - 1 : edit.end] in PAIRS):
            self._cursor = cursor_after(edit, text)
        self._edited = now
        return self._cursor

    def _serve(self, pending: Pending, deadline: float, *, invoked: bool) -> None:
        forbidden = self._forbidden(pending.place)
        if forbidden and not (invoked and forbidden in (MID_LINE, MANUAL_ONLY)):
            self._silence_pending(forbidden)
            return
        known = self._known(pending.place, pending.candidates)
        if known:
            pending.source, answer = known
            self._answer_pending(answer)
            return
        kept = self._flight is not None and self._flight.agrees(pending.place)
        pending.source = "inflight" if kept else "model"
        pending.seconds = deadline if pending.candidates == 1 else None
        pending.after(deadline, self._on_deadline)
        pending.after(max(self.settings.hold_ms / 1000, deadline), self._on_hold_over)
        self._fly(pending.place, seconds=pending.seconds)
        self._answer_pending_by_guess()

    def _forbidden(self, place: Place) -> str | None:
        """The reason for saying nothing at `place`, whatever the model would say."""
        if reason := self._veto(self.document, self.settings):
            return reason
        return None if self._line_limit(place) else MID_LINE

    def _line_limit(self, place: Place) -> int:
        return line_limit(place.language, place.prefix, place.suffix, block=self.settings.max_lines)

    def _known(self, place: Place, candidates: int = 1) -> tuple[str, Answer] | None:
        """What can be answered at `place` without a decode, and where it comes from."""
        if candidates == 1 and self._shown and self._shown.rest_at(place):
            return "shown", self._shown
        answer = self._answers.find(place)
        return ("answers", answer) if answer and (candidates == 1 or answer.others is not None) else None

    def _decode_ahead(self, place: Place, seconds: float | None) -> None:
        """Decode at `place` before anyone asks, unless all of the line there is known. seconds: see Job."""
        wanted = self.settings.decode_ahead and not power.saving(self.settings.power_saving)
        if not wanted or self._forbidden(place):
            return
        known = self._known(place)
        if not known:
            self._fly(place, seconds=seconds)
        elif (rest := known[1].rest_at(place)) and not known[1].is_settled(rest):
            self._fly(place, gate=-math.inf)  # what is on the screen already

    def _fly(self, place: Place, *, gate: float | None = None, seconds: float | None = None) -> None:
        """Have a decode under way that agrees with `place`: the present one, or else a new one, which has to be as
        likely as `gate` to be shown, if it is not what the settings say. seconds: see Job."""
        self._target = place
        candidates = self._pending.candidates if self._pending else 1
        if self._flight and self._flight.agrees(place) and self._flight.candidates >= candidates:
            return
        self._land()
        if self._decoder is None:
            return
        flight = self._flight = Flight(place, candidates, self.gate(candidates) if gate is None else gate)
        job = Job(
            self.document.uri,
            self._path,
            place,
            max_lines=self._line_limit(place) or 1,
            max_tokens=self.settings.max_tokens,
            min_logprob=flight.gate,
            candidates=candidates,
            seconds=seconds,
            statement_lines=statement_limit(place.suffix, block=self.settings.max_lines),
        )
        flight.cancel = self._decoder.start(
            job,
            lambda text: self._on_progress(flight, text),
            lambda suggestion: self._on_done(flight, suggestion),
            lambda guess: self._on_guess(flight, guess),
        )

    def _land(self) -> None:
        """Stop the decode in flight, if any."""
        if self._flight:
            self._flight.cancel()
            self._flight = None

    def _on_progress(self, flight: Flight, text: str) -> None:
        if flight is not self._flight:
            return
        flight.verified = text
        self._on_text(flight)

    def _on_guess(self, flight: Flight, guess: Guess) -> None:
        """The draft model has written: at the deadline that is what there is, and a complete text is not waited for."""
        if flight is not self._flight:
            return
        flight.guess = guess
        self._answer_pending_by_guess()
        self._on_text(flight)

    def _answer_pending_by_guess(self) -> None:
        """Answer with the whole text of the draft model, if there is one."""
        pending, flight = self._pending, self._flight
        if not (pending and flight and flight.is_guessed and flight.guess.complete):
            return
        rest = pending.place.rest_of(flight.guess.text, flight.place) or ""
        filtered = self._filtered(pending.place, rest, flight.guess.logprob, flight.gate)
        if filtered.text and filtered.silence is None:
            self._answer_pending(Answer(pending.place, filtered.text, complete=True, verified=None))

    def _on_text(self, flight: Flight) -> None:
        """The decode in flight has written more."""
        if self._target and not flight.agrees(self._target) and not flight.is_ahead_of(self._target):
            self._fly(self._target, seconds=self.settings.deadline_ms / 1000)
        elif self._pending and self._pending.held:
            self._answer_pending_in_part()

    def _on_done(self, flight: Flight, suggestion: Suggestion) -> None:
        if flight is not self._flight:
            return
        self._flight = None
        answer = self._judge(flight, suggestion)
        if suggestion.finish != "error":
            self._answers.add(answer)
        self._lengthen_shown(answer)
        if self._pending is None:
            self._start_reading()
            return
        if here := answer.at(self._pending.place):
            self._answer_pending(here, suggestion)
        else:
            self._fly(self._pending.place, seconds=self._pending.seconds)

    def _judge(self, flight: Flight, suggestion: Suggestion) -> Answer:
        """A finished decode after the filters."""
        place = flight.place
        text, silence, cut = suggestion.text, suggestion.silence, False
        if silence is None:
            filtered = self._filtered(place, text, suggestion.logprob, flight.gate, suggestion.likely)
            left_out = text[len(suggestion.likely) :].split("\n", 1)[0]
            cut = bool(filtered.text and suggestion.logprob < flight.gate and left_out.strip())
            text, silence = filtered.text, filtered.silence and str(filtered.silence)
        if suggestion.finish == "repetition":
            text, silence = "", str(filters.Silence.REPETITION)
        if silence is None and not text:
            silence = "empty"
        others = [self._filtered(place, other.text).text for other in suggestion.others]
        if silence and any(others):
            text, silence = next(filter(None, others)), None
        return Answer(
            place,
            "" if silence else text,
            suggestion.finish != "length",
            silence,
            None if flight.candidates == 1 else tuple(distinct(others, but=[text])),
            cut,
        )

    def gate(self, candidates: int) -> float:
        """The log-probability that a line needs; who asks for candidates judges them himself."""
        return filters.GATES[self.settings.eagerness] if candidates == 1 else -math.inf

    def _filtered(
        self, place: Place, text: str, logprob: float = 0.0, gate: float = -math.inf, likely: str = ""
    ) -> filters.Filtered:
        return filters.apply(
            place.language, place.prefix, place.suffix, text, logprob, min_logprob=gate, likely=likely
        )

    def _start_reading(self) -> None:
        """Decode what follows the suggestion that is shown, as if it were accepted, once it has stood for a while."""
        if self._told and self._told.text and self._reading is None:
            self._reading = self._clock.call_later(READ_AFTER, self._read_on)

    def _read_on(self) -> None:
        self._reading = None
        unlikely = self._shown is not None and self._shown.cut
        if self._told and self._flight is None and self._pending is None and not unlikely:
            self._decode_ahead(self._told.place.after(self._told.text), None)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading.cancel()
            self._reading = None

    def _lengthen_shown(self, answer: Answer) -> None:
        """Let a finished answer lengthen what is shown, never change it, and say so to the client."""
        shown, told = self._shown, self._told
        rest = answer.rest_at(shown.place) if shown else None
        if shown and rest and rest.startswith(shown.text):
            self._shown = answer.moved(shown.place, rest)
        elif shown and shown.verified is None and shown.place.typed_since(answer.place) is not None:
            self._shown = replace(shown, verified=False)
        rest = answer.rest_at(told.place) if told else None
        if told and rest and rest.startswith(told.text) and rest != told.text:
            self._ready(told.offset)

    def _on_deadline(self, pending: Pending) -> None:
        if pending is self._pending:
            self._answer_pending_in_part()
            pending.held = pending is self._pending

    def _on_hold_over(self, pending: Pending) -> None:
        if pending is self._pending:
            self._silence_pending(OUT_OF_TIME if self._decoder else "loading")

    def _answer_pending_in_part(self) -> None:
        """Answer with what the unfinished decode can show, if there is anything."""
        if self._pending is None or self._flight is None:
            return
        place = self._pending.place
        text = self._flight.ready_at(place)
        filtered = self._filtered(place, text)
        if filtered.text and filtered.silence is None:
            verified = self._flight.has_verified(filtered.text, place) or None
            self._answer_pending(Answer(place, filtered.text, complete=False, verified=verified))

    def _answer_pending(self, answer: Answer, suggestion: Suggestion | None = None) -> None:
        """Answer the pending request with what is left of `answer` at its place."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        text = answer.rest_at(pending.place) or ""
        others: list[str] = []
        if pending.candidates > 1:
            shown = (self._shown and self._shown.rest_at(pending.place)) or ""
            texts = distinct([text if text.startswith(shown) else shown, text, *(answer.others or ())])
            text, others = texts[0] if texts else "", texts[1 : pending.candidates]
        if text:
            self._told = _Told(pending.place, pending.offset, text)
            if answer is not self._shown:
                self._shown = answer.moved(pending.place, text)
            self._start_reading()
        pending.answer(
            text,
            others=others,
            silence=answer.silence,
            complete_line=answer.first_line_complete(text),
            cut=answer.cut,
            suggestion=suggestion,
            verified=answer.verified,
        )

    def _silence_pending(self, reason: str) -> None:
        """Answer the pending request, if there is one, with nothing."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        if reason == OUT_OF_TIME:
            self._told = _Told(pending.place, pending.offset, "")
        pending.answer("", silence=reason)
