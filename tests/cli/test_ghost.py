from __future__ import annotations

from pathlib import Path

from flash_lsp.cli.ghost import GHOST, ghost_view

SOURCE = "import math\n\n\ndef area(r):\n    x = 1\n    return \n\n\nprint(area(3))\n"
CURSOR = SOURCE.index("return ") + len("return ")


def view(prefix: str, ghost: str, suffix: str, **options: int | bool) -> str:
    settings = {"above": 1, "below": 1, "marks": True} | options
    return ghost_view(Path("a.py"), prefix, ghost, suffix, **settings).plain  # type: ignore[arg-type]


def test_one_line_stands_at_the_cursor() -> None:
    assert view(SOURCE[:CURSOR], "math.pi", SOURCE[CURSOR:]) == (
        " 5 │     x = 1\n 6 │     return «math.pi»\n 7 │ "
    )


def test_further_lines_have_no_number_and_shift_none() -> None:
    assert view(SOURCE[:CURSOR], "(\n        1\n    )", SOURCE[CURSOR:], below=3) == (
        " 5 │     x = 1\n 6 │     return «(\n + │         1\n + │     )»\n 7 │ \n 8 │ \n 9 │ print(area(3))"
    )


def test_the_suggestion_alone_is_dimmed() -> None:
    text = ghost_view(Path("a.py"), "x = ", "y + 1", "\n", above=1, below=1)
    dimmed = [text.plain[span.start : span.end] for span in text.spans if str(span.style) == GHOST]
    assert "".join(dimmed) == "y + 1"


def test_what_is_right_of_the_cursor_stays_there() -> None:
    assert view("f(", "x", ")\n") == "1 │ f(«x»)\n2 │ "


def test_no_suggestion_in_an_empty_file() -> None:
    assert view("", "", "", marks=False) == "1 │ "


def test_control_characters_are_pictured() -> None:
    assert view("a\r\n\tb\x1b[31m\f", "\x07", "c\rd", above=9, below=9) == (
        "1 │ a\n2 │     b␛[31m␌«␇»c\n3 │ d"
    )
