"""What a replay's requests amount to. Pure functions; docs/cli.md defines every figure for its readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CACHED = frozenset({"shown", "answers"})


@dataclass(frozen=True, slots=True)
class Request:
    """One automatic request for a suggestion and what became of it."""

    ms: float
    """From sending to the reply's arrival; for a superseded one, to the edit that superseded it."""
    superseded: bool
    """The document changed before the reply came: an editor throws such a reply away."""
    text: str
    """What was suggested; empty for nothing."""
    source: str
    """Where the server says it found the text: `shown`, `answers`, `inflight`, `model` or `none`."""
    complete_line: bool
    held: bool
    ahead: str | None
    """The file's own text from the cursor on; None while the document holds something the file does not."""
    type_through: bool
    """The typed characters were the beginning of the suggestion on the screen, and some of it is left."""
    server_ms: float | None
    """The same time by the server's clock."""
    silence: str | None = None
    """The server's reason for suggesting nothing."""
    sent: float = 0.0
    """When it was sent, seconds by time.perf_counter()."""
    cut: bool = False
    """The text is as much of the model's line as it is sure of."""
    verified: bool | None = True
    """Whether the model itself says the text; None while only its draft model does."""
    flicker: bool = False
    """The reply took away or changed a suggestion that was on the screen."""


def summarize(requests: Sequence[Request], *, deadline_ms: float) -> dict[str, Any]:
    """Latencies and the shares that belong beside them.

    All of them are over the judged requests: those that were answered, and those superseded after the deadline
    had passed, which were late whatever would have come (they count with the time they had waited). A request
    superseded before its deadline shows nothing and is only counted.
    """
    judged = [each for each in requests if not each.superseded or each.ms > deadline_ms]
    answered = [each for each in judged if not each.superseded]
    early = len(requests) - len(judged)
    late = len(judged) - len(answered)
    asked = [each for each in judged if not each.type_through]
    suggested = [each for each in judged if each.text or each.superseded]
    final = [each for each in answered if each.text and each.complete_line and each.ms <= deadline_ms]
    whole = [each for each in final if not each.cut]
    cases = [each for each in judged if each.ahead is not None and (each.text or rest_of_line(each.ahead))]
    shown = [each for each in cases if each.text]
    exact = [each for each in shown if first_line(each.text) == first_line(each.ahead or "")]
    right = [each for each in shown if (each.ahead or "").startswith(first_line(each.text))]
    return {
        "requests": len(requests),
        "judged": len(judged),
        "superseded_early": early,
        "superseded_late": late,
        "type_through_share": share([each for each in requests if each.type_through], requests),
        **percentiles("", [each.ms for each in judged]),
        **percentiles("server_", [each.server_ms for each in answered if each.server_ms is not None]),
        "on_time_share": share(whole, judged),
        "on_time_suggested_share": share(whole, suggested),
        "final_on_time_share": share(final, judged),
        "held_share": share([each for each in judged if each.superseded or each.held], judged),
        "empty_share": share([each for each in judged if not each.text], judged),
        "decoded_ahead_share": share([each for each in asked if each.source in CACHED], asked),
        "flicker": sum(each.flicker for each in answered),
        "cached_share": share([each for each in answered if each.text and each.source in CACHED], judged),
        "sources": dict(Counter(each.source for each in answered)),
        "silences": dict(Counter(each.silence for each in answered if each.silence)),
        "exact_cases": len(cases),
        "exact_all": share(exact, cases),
        "exact_shown": share(exact, shown),
        "right_all": share(right, cases),
        "right_shown": share(right, shown),
    }


def first_line(text: str) -> str:
    """`text` to the end of its first line that is not blank."""
    return re.match(r"\s*[^\r\n]*", text).group()  # type: ignore[union-attr]  # matches the empty string too


def rest_of_line(text: str) -> str:
    """`text` to its first line end."""
    return re.split(r"[\r\n]", text, maxsplit=1)[0]


def percentiles(prefix: str, values: Sequence[float]) -> dict[str, float | None]:
    """p50_ms, p95_ms and p99_ms of `values`, linearly interpolated; None where there are no values."""
    return {
        f"{prefix}p{percent}_ms": float(np.percentile(values, percent)) if values else None
        for percent in (50, 95, 99)
    }


def share(part: Iterable[object], whole: Sequence[object]) -> float | None:
    """How much of `whole` is in `part`, 0 to 1; None of nothing."""
    return sum(1 for _ in part) / len(whole) if whole else None
