"""What flash-lsp adds to the Language Server Protocol: notifications, a command and the trace record.

docs/protocol.md describes them for the authors of clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from flash_lsp.pending import Reply

READY = "flash-lsp/ready"
STATUS = "flash-lsp/status"
STATS = "flash-lsp.stats"
TOGGLE = "flash-lsp.toggle"
SNOOZE = "flash-lsp.snooze"
PAUSE = "flash-lsp.pause"
RESUME = "flash-lsp.resume"
EXPLAIN = "flash-lsp.explainLastSilence"
RELOAD = "flash-lsp.reload"
CLEAR_CACHES = "flash-lsp.clearCaches"
REPLY_TRACE = "flash-lsp reply"

NOT_A_VERDICT = frozenset({"superseded", "cancelled", "closed", "loading", "engine-error"})
"""Reasons for an empty reply that say nothing about the place in the text."""


class Position(TypedDict):
    line: int
    character: int


class Ready(TypedDict):
    """Parameters of `flash-lsp/ready`: asking again at this place gets more than the last reply did."""

    uri: str
    version: int
    position: Position


class Status(TypedDict):
    """Parameters of `flash-lsp/status`: `state` is "loading", "ready", "silent", "paused" or "error"."""

    state: str
    message: str
    reason: NotRequired[str]
    """Why the last reply was empty, when silent; "paused" or "snoozed" when paused."""


class Explanation(TypedDict):
    """Why a reply was empty: the answer of `flash-lsp.explainLastSilence`."""

    reason: str
    message: str
    uri: str
    version: int


class ReplyRecord(TypedDict):
    """How one request was answered: `verbose` of the `$/logTrace` whose message is "flash-lsp reply"."""

    uri: str
    version: int
    id: int
    source: str
    """Where the text came from: "shown", "answers", "inflight", "model", or "none" when nothing was looked up."""
    silence: str | None
    """Why the reply is empty; null when it is not."""
    ms: float
    held: bool
    """The deadline passed with nothing ready."""
    complete_line: bool
    """The first line of the text is complete, or as long as it will be; false for an empty reply."""
    cut: bool
    """The text is the beginning, likely enough, of one that is not."""
    verified: bool | None
    """Whether the model itself says the text: null while only its draft model does, false where it said otherwise."""
    on_time: bool
    """Some text was replied, and no later than the deadline."""
    prompt_tokens: int | None
    """The counts of the decode behind the reply; null while it goes on, and for replies without a decode."""
    reused: int | None
    kv_hit_rate: float | None
    """Share of the prompt's tokens that were in the KV cache."""
    computed: int | None
    generated: int | None
    passes: int | None
    """Passes of the model that generated them."""
    drafted: dict[str, int] | None
    """Tokens verified as drafts, by source: "model" or "text"."""
    accepted: dict[str, int] | None


def reply_record(uri: str, number: int, reply: Reply) -> ReplyRecord:
    """The record of the `number`th reply."""
    decode = reply.suggestion
    return ReplyRecord(
        uri=uri,
        version=reply.version,
        id=number,
        source=reply.source,
        silence=reply.silence,
        ms=round(reply.seconds * 1000, 3),
        held=reply.held,
        complete_line=reply.complete_line,
        cut=reply.cut,
        verified=reply.verified,
        on_time=bool(reply.text) and not reply.held,
        prompt_tokens=decode.reused + decode.computed - decode.tokens if decode else None,
        reused=decode.reused if decode else None,
        kv_hit_rate=_share(decode.reused, decode.reused + decode.computed - decode.tokens)
        if decode
        else None,
        computed=decode.computed if decode else None,
        generated=decode.tokens if decode else None,
        passes=decode.passes if decode else None,
        drafted=dict(decode.drafted) if decode else None,
        accepted=dict(decode.accepted) if decode else None,
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole > 0 else None


@dataclass(slots=True)
class Totals:
    """Counts since the server started, as the command `flash-lsp.stats` reports them."""

    requests: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    silences: dict[str, int] = field(default_factory=dict)
    held: int = 0
    complete_line: int = 0
    on_time: int = 0
    drafted: int = 0
    """Replies with the draft model's text, which the model itself had not said."""

    def count(self, record: ReplyRecord) -> None:
        self.requests += 1
        self.sources[record["source"]] = self.sources.get(record["source"], 0) + 1
        if record["silence"] is not None:
            self.silences[record["silence"]] = self.silences.get(record["silence"], 0) + 1
        self.held += record["held"]
        self.complete_line += record["complete_line"]
        self.on_time += record["on_time"]
        self.drafted += not record["verified"]
