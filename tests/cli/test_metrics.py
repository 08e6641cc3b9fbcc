from __future__ import annotations

from dataclasses import replace

import pytest

from flash_lsp.bench.metrics import Request, first_line, summarize
from flash_lsp.bench.replay import _is_read, _is_shown, _Jump, _waits

RIGHT = Request(
    ms=10.0, superseded=False, text="x + 1", source="model", complete_line=True, held=False,
    ahead="x + 1\n    return y\n", type_through=False, server_ms=9.0,
)  # fmt: skip
CACHED = replace(RIGHT, ms=2.0, source="shown", type_through=True)
WRONG = replace(RIGHT, text="z")
LATE = replace(RIGHT, ms=90.0, held=True)
EMPTY = replace(RIGHT, ms=400.0, text="", source="model", complete_line=False, held=True)
SUPERSEDED_EARLY = replace(RIGHT, ms=30.0, text="", superseded=True)
SUPERSEDED_LATE = replace(RIGHT, ms=70.0, text="", superseded=True)


def test_every_share_has_the_judged_requests_below_it() -> None:
    requests = [RIGHT, CACHED, WRONG, LATE, EMPTY, SUPERSEDED_LATE, SUPERSEDED_EARLY, SUPERSEDED_EARLY]
    figures = summarize(requests, deadline_ms=50)
    assert (figures["requests"], figures["judged"]) == (8, 6)
    assert (figures["superseded_early"], figures["superseded_late"]) == (2, 1)
    assert figures["on_time_share"] == pytest.approx(3 / 6)
    assert figures["on_time_suggested_share"] == pytest.approx(3 / 5)
    assert figures["held_share"] == pytest.approx(3 / 6)
    assert figures["empty_share"] == pytest.approx(2 / 6)
    assert figures["cached_share"] == pytest.approx(1 / 6)
    assert figures["type_through_share"] == pytest.approx(1 / 8)
    assert figures["sources"] == {"model": 4, "shown": 1}


def test_latency_counts_held_replies_and_the_wait_of_late_superseded_requests() -> None:
    figures = summarize([CACHED, LATE, SUPERSEDED_LATE, SUPERSEDED_EARLY], deadline_ms=50)
    assert figures["p50_ms"] == pytest.approx(70)
    assert figures["p99_ms"] == pytest.approx(90, abs=1)
    assert figures["server_p50_ms"] == pytest.approx(9)


def test_a_partial_line_is_not_on_time() -> None:
    figures = summarize([replace(RIGHT, complete_line=False)], deadline_ms=50)
    assert figures["on_time_share"] == 0


def test_a_line_cut_to_what_is_likely_is_final_and_not_complete() -> None:
    figures = summarize([RIGHT, replace(RIGHT, text="x", cut=True)], deadline_ms=50)
    assert (figures["on_time_share"], figures["final_on_time_share"]) == (0.5, 1)


def test_exact_match_over_all_and_over_shown() -> None:
    figures = summarize([RIGHT, CACHED, WRONG, EMPTY, SUPERSEDED_LATE, SUPERSEDED_EARLY], deadline_ms=50)
    assert figures["exact_cases"] == 5
    assert figures["exact_all"] == pytest.approx(2 / 5)
    assert figures["exact_shown"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "ahead", "exact"),
    [
        ("x + 1", "x + 1\nmore", True),
        ("x + 1\nother", "x + 1\nmore", True),
        ("x", "x + 1\n", False),
        ("x + 1", "x", False),
        ("\n    return y", "\n    return y\n", True),
        ("\n    return z", "\n    return y\n", False),
        ("x + 1", "x + 1", True),
        ("x + 1\r\n", "x + 1\r\n", True),
    ],
)
def test_exact_match_is_of_the_first_line_that_is_not_blank(text: str, ahead: str, exact: bool) -> None:
    figures = summarize([replace(RIGHT, text=text, ahead=ahead)], deadline_ms=50)
    assert figures["exact_shown"] == float(exact)


def test_slips_and_rightly_silent_line_ends_are_no_cases_of_exact_match() -> None:
    slip = replace(RIGHT, ahead=None)
    line_end = replace(EMPTY, ahead="\nnext = 1\n")
    figures = summarize([slip, line_end], deadline_ms=50)
    assert (figures["exact_cases"], figures["exact_all"], figures["exact_shown"]) == (0, None, None)


def test_nothing_asked_gives_no_figures() -> None:
    figures = summarize([], deadline_ms=50)
    names = ("p50_ms", "p99_ms", "on_time_share", "on_time_suggested_share", "empty_share")
    assert {figures[name] for name in names} == {None}


def test_first_line() -> None:
    assert first_line("") == ""
    assert first_line(" a \nb") == " a "
    assert first_line("\r\n\n  a\r\nb") == "\r\n\n  a"


def test_a_jump_lasts_to_the_first_reply_that_counts() -> None:
    late = replace(RIGHT, ms=20.0, sent=10.5)
    unread = [replace(EMPTY, sent=10.0, silence=reason) for reason in ("out-of-time", "mid-line")]
    silent = replace(EMPTY, ms=5.0, sent=10.2, silence="low-confidence")
    jumps = [_Jump(False, 10.0, [*unread, silent, late]), _Jump(False, 0.0, unread)]
    assert _waits(jumps, _is_read) == pytest.approx([205.0])
    assert _waits(jumps, _is_shown) == pytest.approx([520.0])


def test_a_reply_of_the_draft_model_alone_is_no_reading_of_the_place() -> None:
    assert _is_read(RIGHT)
    assert _is_read(replace(RIGHT, verified=False)), "the model has said something else since"
    assert not _is_read(replace(RIGHT, verified=None))
    assert _is_read(replace(RIGHT, text="", silence="low-confidence"))
