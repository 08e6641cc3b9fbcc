"""DocumentSession with a scripted decoder and a fake clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flash_lsp import power
from tests.server.fakes import Asked, Editor, suggestion


def test_a_finished_decode_answers_before_the_deadline() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.clock.advance(0.02)
    editor.decoder.last.end("compute()")
    reply = asked.reply
    assert (reply.text, reply.source, reply.silence) == ("compute()", "model", None)
    assert reply.complete_line
    assert not reply.held
    assert reply.seconds == pytest.approx(0.02)
    assert reply.suggestion is not None


def test_the_deadline_gets_the_whole_words_so_far() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.say("foo + ba")
    editor.clock.advance(0.049)
    assert not asked.replies
    editor.clock.advance(0.001)
    assert asked.reply.text == "foo +"
    assert not asked.reply.complete_line
    assert not asked.reply.held


def test_the_deadline_gets_the_complete_lines_of_a_block() -> None:
    editor = Editor("def f(a):\n    ")
    asked = editor.ask()
    assert editor.decoder.last.job.max_lines == 8
    editor.decoder.last.say("b = a\n    return b\n    retu")
    editor.clock.advance(0.05)
    assert asked.reply.text == "b = a\n    return b"
    assert asked.reply.complete_line


def test_a_request_with_nothing_ready_is_held_until_something_is() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.clock.advance(0.2)
    editor.decoder.last.say("fo")
    assert not asked.replies, "half a word is not ready"
    editor.decoder.last.say("foo(")
    assert asked.reply.text == "foo("
    assert asked.reply.held
    assert asked.reply.seconds == pytest.approx(0.2)


def test_a_held_request_ends_after_hold_ms_and_ready_follows() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.clock.advance(0.4)
    assert asked.reply.silence == "out-of-time"
    assert asked.reply.held
    editor.decoder.last.end("foo()")
    assert editor.ready == [4]
    again = editor.ask()
    assert (again.reply.text, again.reply.source) == ("foo()", "answers")
    assert len(editor.decoder.decodes) == 1


def test_a_newer_request_supersedes_and_keeps_the_decode() -> None:
    editor = Editor("x = ")
    first, second = editor.ask(), editor.ask()
    assert first.reply.silence == "superseded"
    assert first.reply.text == ""
    editor.decoder.last.end("foo()")
    assert (second.reply.text, second.reply.source) == ("foo()", "inflight")
    assert len(editor.decoder.decodes) == 1


def test_an_edit_makes_a_waiting_request_out_of_date() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.type("f")
    assert asked.reply.silence == "superseded"
    assert asked.reply.version == 1


def test_typing_through_is_answered_from_what_is_shown() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    for typed in range(1, len("compute(a)")):
        editor.type("compute(a)"[typed - 1])
        asked = editor.ask()
        assert (asked.reply.text, asked.reply.source) == ("compute(a)"[typed:], "shown")
        assert asked.reply.seconds == 0
    assert len(editor.decoder.decodes) == 1


def test_backspace_after_a_divergence_is_answered_from_the_cache() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    editor.type("q")
    editor.ask()
    editor.decoder.last.end("uick()")
    editor.delete()
    asked = editor.ask()
    assert (asked.reply.text, asked.reply.source) == ("compute(a)", "answers")
    assert len(editor.decoder.decodes) == 2


def test_the_decode_in_flight_is_kept_while_typing_agrees_with_it() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.type("c")  # nothing produced yet: still agrees
    assert len(editor.decoder.decodes) == 1
    editor.decoder.last.say("compu")
    editor.type("o")
    asked = editor.ask()
    assert len(editor.decoder.decodes) == 1
    editor.decoder.last.end("compute()")
    assert (asked.reply.text, asked.reply.source) == ("mpute()", "inflight")


def test_the_decode_is_replaced_as_soon_as_it_disagrees() -> None:
    editor = Editor("x = ")
    editor.ask()
    first = editor.decoder.last
    editor.type("q")
    asked = editor.ask()
    assert not first.cancelled
    first.say("com")
    assert first.cancelled
    assert editor.decoder.last.job.place.prefix == "x = q"
    editor.decoder.last.end("uick()")
    assert asked.reply.text == "uick()"


def test_a_finished_decode_that_disagrees_is_followed_by_another() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.type("q")
    asked = editor.ask()
    editor.decoder.last.end("compute()")
    assert not asked.replies
    editor.decoder.last.end("uick()")
    assert asked.reply.text == "uick()"


def test_typing_beyond_the_end_of_a_finished_decode_starts_another() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.type("ab")
    asked = editor.ask()
    editor.decoder.last.end("ab")
    assert len(editor.decoder.decodes) == 2
    editor.decoder.last.end(" + 1")
    assert asked.reply.text == " + 1"


def test_divergence_cancels_at_the_edit() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.say("comp")
    first = editor.decoder.last
    editor.type("q")
    assert first.cancelled
    assert editor.decoder.last.job.place.prefix == "x = q", "decoding starts at the edit, before the request"


def test_decode_ahead_answers_the_request_that_follows() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute()")
    editor.type("q")
    editor.decoder.last.end("uick()")
    asked = editor.ask()
    assert (asked.reply.text, asked.reply.source) == ("uick()", "answers")


def test_no_decode_ahead_without_requests_or_when_switched_off() -> None:
    untouched = Editor("x = ")
    untouched.type("q")
    assert not untouched.decoder.decodes
    off = Editor("x = ", decode_ahead=False)
    off.ask()
    off.decoder.last.end("compute()")
    off.type("q")
    assert len(off.decoder.decodes) == 1


def test_decode_ahead_stands_between_the_brackets_that_an_editor_closes() -> None:
    editor = Editor("x = f")
    editor.ask()
    editor.decoder.last.end(" + 1")
    editor.edit(5, 0, "()")
    assert editor.decoder.last.job.place.prefix == "x = f("


def test_typing_that_agrees_starts_nothing() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    editor.type("compu")
    assert len(editor.decoder.decodes) == 1


def test_edits_elsewhere_invalidate() -> None:
    editor = Editor("import os\nx = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    cursor = editor.cursor
    editor.edit(7, 2, "re")
    editor.cursor = cursor
    asked = editor.ask()
    assert not asked.replies
    assert editor.decoder.last.job.place.prefix == "import re\nx = "


def test_a_decode_goes_on_after_the_deadline_and_lengthens_what_is_shown() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.say("foo(a")
    editor.clock.advance(0.05)
    assert asked.reply.text == "foo("
    editor.decoder.last.end("foo(a, b)")
    assert editor.ready == [4]
    again = editor.ask()
    assert (again.reply.text, again.reply.source) == ("foo(a, b)", "shown")
    assert again.reply.complete_line


def test_no_ready_when_the_reply_was_all_there_is_or_the_document_has_moved_on() -> None:
    same = Editor("x = ")
    same.ask()
    same.decoder.last.say("foo() ")
    same.clock.advance(0.05)
    same.decoder.last.end("foo()")
    assert same.ready == []
    moved = Editor("x = ")
    moved.ask()
    moved.decoder.last.say("foo(a")
    moved.clock.advance(0.05)
    moved.type("f")
    moved.decoder.last.end("foo(a, b)")
    assert moved.ready == []
    assert moved.ask().reply.text == "oo(a, b)"


def test_what_is_shown_is_never_changed_by_a_later_answer() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.say("foo bar ")
    editor.clock.advance(0.05)
    editor.decoder.last.end("foo bar", logprob=-9.0)
    assert editor.ready == []
    editor.type("fo")
    asked = editor.ask()
    assert (asked.reply.text, asked.reply.source) == ("o bar", "shown")


def test_cancelling_answers_once_and_lets_the_decode_finish() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    asked.withdraw()
    assert asked.reply.silence == "cancelled"
    editor.decoder.last.end("foo()")
    asked.withdraw()
    assert len(asked.replies) == 1
    assert editor.ready == [], "who cancels does not want it"
    assert editor.ask().reply.text == "foo()"


def test_closing_answers_what_waits_and_stops_decoding() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.session.close()
    assert asked.reply.silence == "closed"
    assert editor.decoder.last.cancelled


def test_requests_before_the_model_is_loaded_are_held_then_given_up() -> None:
    editor = Editor("x = ", loaded=False)
    asked = editor.ask()
    editor.clock.advance(0.399)
    assert not asked.replies
    editor.clock.advance(0.001)
    assert asked.reply.silence == "loading"


def test_a_request_held_while_loading_is_served_by_the_loaded_model() -> None:
    editor = Editor("x = ", loaded=False)
    asked = editor.ask()
    editor.clock.advance(0.1)
    editor.session.attach(editor.decoder)
    editor.decoder.last.end("foo()")
    assert asked.reply.text == "foo()"
    assert asked.reply.held


@pytest.mark.parametrize(
    ("editor", "silence"),
    [
        (Editor("x = 1", 2), "mid-line"),
        (Editor("x = ", disabled_languages=("python",)), "disabled"),
        (Editor("x = ", enabled=False), "disabled"),
        (Editor("x = \0"), "binary"),
        (Editor("x" * 1001, max_file_kb=1), "too-large"),
    ],
)
def test_places_without_suggestions(editor: Editor, silence: str) -> None:
    asked = editor.ask()
    assert (asked.reply.silence, asked.reply.source) == (silence, "none")
    assert not editor.decoder.decodes
    editor.edit(0, 0, "y")
    assert not editor.decoder.decodes


def test_inside_a_line_on_demand_a_single_line() -> None:
    editor = Editor("x = a", 4)
    editor.ask(invoked=True)
    assert editor.decoder.last.job.max_lines == 1


def test_before_closing_brackets_a_single_line() -> None:
    editor = Editor("foo()\n", 4)
    asked = editor.ask()
    assert editor.decoder.last.job.max_lines == 1
    editor.decoder.last.end("a, b")
    assert asked.reply.text == "a, b"


def test_a_selected_menu_entry_counts_as_typed() -> None:
    editor = Editor("x = pri")
    asked = editor.ask(chosen="print", start=4)
    assert editor.decoder.last.job.place.prefix == "x = print"
    editor.decoder.last.end("(x)")
    assert asked.reply.text == "(x)"
    editor.type("n")
    assert len(editor.decoder.decodes) == 1, "the menu decides what comes next: no decoding ahead"


def test_silences_are_remembered_but_errors_are_not() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.end("foo", logprob=-9.0)
    assert asked.reply.silence == "low-confidence"
    again = editor.ask()
    assert (again.reply.silence, again.reply.source) == ("low-confidence", "answers")
    broken = Editor("x = ")
    asked = broken.ask()
    broken.decoder.last.end("", "error", silence="engine-error")
    assert asked.reply.silence == "engine-error"
    broken.ask()
    assert len(broken.decoder.decodes) == 2


def test_an_empty_completion_is_called_empty() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.end("", "stop")
    assert asked.reply.text == ""
    assert asked.reply.silence is not None


def test_another_document_gets_the_model() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.session.relax()
    assert editor.decoder.running, "a request waits for it"
    editor.decoder.last.say("foo(a")
    editor.clock.advance(0.05)
    assert asked.reply.text
    editor.session.relax()
    assert not editor.decoder.running


def test_typing_through_a_line_end_of_a_document_with_carriage_returns() -> None:
    editor = Editor("def f():\r\n    ")
    editor.ask()
    assert editor.decoder.last.job.place.prefix == "def f():\n    "
    editor.decoder.last.end("a = 1\n    return a", "block")
    editor.type("a = 1")
    editor.edit(editor.cursor, 0, "\r\n    ")
    assert (editor.ask().reply.text, editor.ask().reply.source) == ("return a", "shown")
    assert len(editor.decoder.decodes) == 1


def test_a_bracket_that_the_editor_closes_keeps_the_suggestion() -> None:
    editor = Editor("x = \ny")
    editor.cursor = 4
    editor.ask()
    editor.decoder.last.end("compute(a[0], b) + 1")
    editor.type("compute")
    editor.edit(editor.cursor, 0, "()")
    editor.cursor -= 1
    assert editor.ask().reply.text == "a[0], b"
    editor.type("a")
    editor.edit(editor.cursor, 0, "[]")
    editor.cursor -= 1
    assert editor.ask().reply.text == "0"
    editor.type("0")
    editor.edit(editor.cursor, 1, "]")  # typed over the bracket that was closed
    assert editor.ask().reply.text == ", b"
    editor.type(", b")
    editor.edit(editor.cursor, 1, ")")
    assert editor.ask().reply.text == " + 1"
    assert len(editor.decoder.decodes) == 1


def test_a_quote_that_the_editor_closes_keeps_the_suggestion() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end('open("it\'s (a)", mode)')
    editor.type("open")
    editor.edit(editor.cursor, 0, '("")')
    editor.cursor -= 2
    assert editor.ask().reply.text == "it's (a)"


def test_a_brace_that_the_editor_closes_below_keeps_the_block() -> None:
    editor = Editor("function f() ", language="javascript")
    editor.ask()
    editor.decoder.last.end("{\n    return 1;\n}", "block")
    editor.edit(editor.cursor, 0, "{}")
    editor.cursor -= 1
    editor.edit(editor.cursor, 0, "\n    \n")
    editor.cursor -= 1
    assert editor.ask().reply.text == "return 1;"
    assert len(editor.decoder.decodes) == 1


def test_decode_ahead_stands_before_a_bracket_closed_in_a_second_edit() -> None:
    editor = Editor("x = f")
    editor.ask()
    editor.decoder.last.end(" + 1")
    editor.type("(")
    editor.edit(6, 0, ")")
    assert [decode.job.place.prefix for decode in editor.decoder.running] == ["x = f("]
    editor.clock.advance(0.1)
    editor.type(")")
    assert editor.decoder.last.job.place.prefix == "x = f())", "typed by the user"


def test_a_request_behind_a_text_typed_in_one_edit() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    editor.edit(4, 0, "comp")
    assert editor.ask().reply.text == "ute(a)"
    editor.cursor = 4
    assert editor.ask().reply.silence == "mid-line", "behind the cursor stands what was typed"


def test_a_patient_request_gets_the_whole_line() -> None:
    editor = Editor("x = ")
    asked = Asked()
    editor.session.request(4, 4, asked.replies.append, deadline_ms=400)
    editor.decoder.last.say("foo(a, ")
    editor.clock.advance(0.2)
    assert not asked.replies
    editor.decoder.last.end("foo(a, b)")
    assert asked.reply.text == "foo(a, b)"
    asked = Asked()
    editor.type("q")
    editor.session.request(5, 5, asked.replies.append, deadline_ms=400)
    editor.decoder.last.say("uick(a, ")
    editor.clock.advance(0.4)
    assert asked.reply.text == "uick(a,"


def test_who_asks_for_candidates_gets_different_ones_the_shown_one_first() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("foo(a)")
    asked = editor.ask(invoked=True, candidates=3)
    assert editor.decoder.last.job.candidates == 3
    editor.decoder.last.end(
        "foo(a)", others=[suggestion("bar(b)"), suggestion("foo"), suggestion("baz(c, d)")]
    )
    assert (asked.reply.text, asked.reply.others) == ("foo(a)", ("bar(b)", "baz(c, d)"))
    again = editor.ask(invoked=True, candidates=3)
    assert (again.reply.others, again.reply.source) == (("bar(b)", "baz(c, d)"), "answers")
    editor.type("baz")
    assert editor.ask().reply.text == "(c, d)", "part of the third was taken"
    editor.delete(1)
    asked = editor.ask(invoked=True, candidates=3)
    assert {asked.reply.text, *asked.reply.others} == {"z(c, d)", "r(b)"}
    assert len(editor.decoder.decodes) == 2


def test_an_unlikely_text_is_shown_to_who_asks_for_candidates() -> None:
    editor = Editor("x = ")
    assert editor.ask().replies == []
    editor.decoder.last.end("foo", logprob=-3.0)
    asked = editor.ask(invoked=True, candidates=2)
    assert editor.decoder.last.job.min_logprob < -1e9
    editor.decoder.last.end("foo", logprob=-3.0, others=[suggestion("", logprob=-3.0)])
    assert (asked.reply.text, asked.reply.others) == ("foo", ())


def test_candidates_that_take_too_long_do_not_hold_the_first() -> None:
    editor = Editor("x = ")
    asked = Asked()
    editor.session.request(4, 4, asked.replies.append, invoked=True, candidates=3, deadline_ms=400)
    editor.decoder.last.say("foo(a)")
    editor.clock.advance(0.4)
    assert asked.reply.text == "foo(a)"


@pytest.mark.parametrize(("eagerness", "shown"), [("careful", False), ("balanced", False), ("eager", True)])
def test_eagerness_moves_the_gate(eagerness: str, shown: bool) -> None:
    editor = Editor("x = ", eagerness=eagerness)
    asked = editor.ask()
    editor.decoder.last.end("foo", logprob=-1.5)
    assert bool(asked.reply.text) is shown


def test_what_follows_a_suggestion_is_decoded_while_it_is_read() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("foo(a)")
    editor.clock.advance(0.19)
    assert len(editor.decoder.decodes) == 1, "typing goes on, for all that is known"
    editor.clock.advance(0.01)
    assert editor.decoder.last.job.place.prefix == "x = foo(a)"
    editor.type("f")
    assert editor.decoder.running, "typing through leads there too"
    editor.decoder.last.end("\nreturn x")
    editor.edit(5, 0, "oo(a)")
    accepted = editor.ask()
    assert (accepted.reply.text, accepted.reply.source) == ("\nreturn x", "answers")
    editor.edit(10, 0, "\n")
    assert editor.ask().reply.text == "return x"
    assert len(editor.decoder.decodes) == 2


def test_a_real_request_pre_empts_what_is_decoded_for_later() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("foo(a)")
    editor.clock.advance(0.2)
    (ahead,) = editor.decoder.running
    editor.type("q")
    assert ahead.cancelled
    assert editor.decoder.last.job.place.prefix == "x = q"


@pytest.mark.parametrize("options", [{"power_saving": "on"}, {"decode_ahead": False}])
def test_nothing_is_decoded_unasked_to_spare_power(options: dict[str, object]) -> None:
    editor = Editor("x = ", **options)
    editor.ask()
    editor.decoder.last.end("foo(a)")
    editor.clock.advance(5.0)
    editor.type("q")
    assert len(editor.decoder.decodes) == 1


def test_power_is_spared_on_battery(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = SimpleNamespace(power_plugged=False)
    monkeypatch.setattr(power.psutil, "sensors_battery", lambda: battery, raising=False)
    power.on_battery.cache_clear()  # type: ignore[attr-defined]
    try:
        assert power.saving("auto")
        assert not power.saving("off")
    finally:
        power.on_battery.cache_clear()  # type: ignore[attr-defined]


def test_a_suggestion_that_stands_costs_one_decode_ahead_and_no_more() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("foo(a)")
    editor.clock.advance(0.2)
    editor.decoder.last.end("\nbar()")
    editor.clock.advance(60.0)
    assert len(editor.decoder.decodes) == 2


def test_an_unlikely_text_that_typing_confirms_is_completed_before_the_next_request() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("total + fir", "unsure", logprob=-3.0)
    editor.type("t")
    assert editor.ask().reply.silence == "low-confidence"
    editor.type("o")
    assert editor.decoder.last.job.min_logprob < -1e9, "it is on the screen next, so it is worth its end"
    editor.decoder.last.end("tal + first", logprob=-3.0)
    asked = editor.ask()
    assert (asked.reply.text, asked.reply.complete_line) == ("tal + first", True)
    editor.type("t")
    assert editor.ask().reply.text == "al + first"
    assert len(editor.decoder.decodes) == 2
