"""When a request is answered: the deadline, holding, what comes later."""

from __future__ import annotations

import pytest

from tests.server.fakes import Asked, Editor


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
