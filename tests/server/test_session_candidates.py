"""Several texts to choose from."""

from __future__ import annotations

from tests.server.fakes import Asked, Editor, suggestion


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
    editor.decoder.last.end("foo", logprob=-9.0)
    asked = editor.ask(invoked=True, candidates=2)
    assert editor.decoder.last.job.min_logprob < -1e9
    editor.decoder.last.end("foo", logprob=-9.0, others=[suggestion("", logprob=-9.0)])
    assert (asked.reply.text, asked.reply.others) == ("foo", ())


def test_candidates_that_take_too_long_do_not_hold_the_first() -> None:
    editor = Editor("x = ")
    asked = Asked()
    editor.session.request(4, 4, asked.replies.append, invoked=True, candidates=3, deadline_ms=400)
    editor.decoder.last.say("foo(a)")
    editor.clock.advance(0.4)
    assert asked.reply.text == "foo(a)"
