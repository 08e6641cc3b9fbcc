"""DocumentSession where the draft model answers before the model does."""

from __future__ import annotations

import pytest

from tests.server.fakes import Asked, Editor


def asked_and_guessed(text: str = "compute(a)") -> tuple[Editor, Asked]:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.clock.advance(0.01)
    editor.decoder.last.guess(text, complete=True)
    return editor, asked


def test_a_complete_guess_answers_at_once_and_the_model_goes_on() -> None:
    editor, asked = asked_and_guessed()
    reply = asked.reply
    assert (reply.text, reply.verified, reply.complete_line) == ("compute(a)", None, True)
    assert reply.seconds == pytest.approx(0.01)
    assert editor.decoder.running, "the model verifies"


def test_the_deadline_gets_the_whole_words_of_an_unfinished_guess() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.guess("foo + ba")
    editor.clock.advance(0.049)
    assert not asked.replies
    editor.clock.advance(0.001)
    assert (asked.reply.text, asked.reply.verified, asked.reply.held) == ("foo +", None, False)


def test_what_the_model_has_said_by_the_deadline_is_verified() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.guess("foo + ba")
    editor.decoder.last.say("foo + b")
    editor.clock.advance(0.05)
    assert (asked.reply.text, asked.reply.verified) == ("foo +", True)


def test_a_verified_guess_stays_and_grows() -> None:
    editor, _ = asked_and_guessed("compute(a")
    editor.decoder.last.end("compute(a, b)")
    assert editor.ready == [4], "asking again gets more"
    reply = editor.ask().reply
    assert (reply.text, reply.source, reply.verified) == ("compute(a, b)", "shown", True)


def test_a_guess_that_the_model_rejects_stays_while_it_is_typed() -> None:
    editor, _ = asked_and_guessed()
    editor.decoder.last.end("other()")
    assert editor.ready == []
    editor.type("com")
    reply = editor.ask().reply
    assert (reply.text, reply.source, reply.verified) == ("pute(a)", "shown", False)
    assert not editor.decoder.running, "it is settled: no decode at every key"


def test_what_the_model_says_instead_answers_once_typing_goes_its_way() -> None:
    editor, _ = asked_and_guessed()
    editor.decoder.last.end("other()")
    editor.type("o")
    reply = editor.ask().reply
    assert (reply.text, reply.source, reply.verified) == ("ther()", "answers", True)


def test_the_rest_of_a_guess_is_withheld_once_the_model_says_otherwise() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.guess("foo + bar(1)", complete=False)
    editor.decoder.last.say("foo.")
    editor.clock.advance(0.05)
    assert asked.reply.text == "foo."


@pytest.mark.parametrize("guess", [{"text": ""}, {"text": "foo()", "logprob": -9.0}])
def test_a_guess_not_worth_showing_leaves_the_request_to_the_model(guess: dict[str, object]) -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.guess(**guess, complete=True)  # type: ignore[arg-type]
    assert not asked.replies
    editor.decoder.last.end("bar()")
    assert (asked.reply.text, asked.reply.verified) == ("bar()", True)


def test_a_guess_made_while_typing_answers_the_request_that_follows_at_once() -> None:
    editor = Editor("x =")
    editor.ask()
    editor.decoder.last.end("= 1")
    editor.type(" ")
    assert editor.decoder.last.job.seconds == 0.05
    editor.decoder.last.guess("compute(a)", complete=True)
    reply = editor.ask().reply
    assert (reply.text, reply.source, reply.verified, reply.seconds) == ("compute(a)", "inflight", None, 0)


def test_typing_against_a_guess_begins_anew() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.guess("compute(a)", complete=True)
    decodes = len(editor.decoder.decodes)
    editor.type("f")
    assert len(editor.decoder.decodes) == decodes + 1


def test_nobody_hurries_what_is_read_ahead_or_chosen_from() -> None:
    editor = Editor("x = ")
    editor.ask(candidates=3)
    assert editor.decoder.last.job.seconds is None
    editor.decoder.last.end("foo()")
    editor.ask()
    editor.clock.advance(0.5)
    assert editor.decoder.last.job.place.prefix == "x = foo()"
    assert editor.decoder.last.job.seconds is None
