"""Decoding before anyone asks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flash_lsp import power
from tests.server.fakes import Editor


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


def test_typing_that_agrees_starts_nothing() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    editor.type("compu")
    assert len(editor.decoder.decodes) == 1


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


def test_a_suggestion_cut_to_what_is_likely_costs_nothing_more() -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.end("total + tax", "unsure", logprob=-9.0, likely="total")
    assert (asked.reply.text, asked.reply.complete_line, asked.reply.cut) == ("total", True, True)
    editor.type("to")
    again = editor.ask()
    assert (again.reply.text, again.reply.source, again.reply.cut) == ("tal", "shown", True)
    editor.clock.advance(10.0)
    assert len(editor.decoder.decodes) == 1
    editor.type("tal")
    assert len(editor.decoder.decodes) == 2, "behind it the model may know more"
