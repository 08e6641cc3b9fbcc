"""Typing: through what is shown, along a decode in flight, away from both, and what editors close."""

from __future__ import annotations

from tests.server.fakes import Editor


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


def test_a_request_behind_a_text_typed_in_one_edit() -> None:
    editor = Editor("x = ")
    editor.ask()
    editor.decoder.last.end("compute(a)")
    editor.edit(4, 0, "comp")
    assert editor.ask().reply.text == "ute(a)"
    editor.cursor = 4
    assert editor.ask().reply.silence == "mid-line", "behind the cursor stands what was typed"
