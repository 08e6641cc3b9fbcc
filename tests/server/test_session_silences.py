"""Where nothing or little is suggested, and how sure the model has to be."""

from __future__ import annotations

import pytest

from tests.server.fakes import Editor


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


@pytest.mark.parametrize(("eagerness", "shown"), [("careful", False), ("balanced", False), ("eager", True)])
def test_eagerness_moves_the_gate(eagerness: str, shown: bool) -> None:
    editor = Editor("x = ", eagerness=eagerness)
    asked = editor.ask()
    editor.decoder.last.end("foo", logprob=-7.0)
    assert bool(asked.reply.text) is shown


@pytest.mark.parametrize(
    ("text", "likely", "shown", "cut"),
    [
        ("total + tax", "total", "total", True),
        ("total + tax", "", "", False),
        ("a = 1\n    b = fo", "a = 1", "a = 1", False),
        ("total", "total", "total", False),
    ],
)
def test_of_an_unlikely_text_its_likely_beginning(text: str, likely: str, shown: str, cut: bool) -> None:
    editor = Editor("x = ")
    asked = editor.ask()
    editor.decoder.last.end(text, "unsure", logprob=-9.0, likely=likely)
    assert (asked.reply.text, asked.reply.cut) == (shown, cut)
    assert asked.reply.complete_line == bool(shown)
    assert asked.reply.silence == (None if shown else "low-confidence")
