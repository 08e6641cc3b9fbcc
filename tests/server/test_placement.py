from __future__ import annotations

import pytest

from flash_lsp.placement import cursor_after, line_limit
from flash_lsp.text import Edit

CASES = [
    ("x = |", 1),
    ("x = |\ny", 1),
    ("x = |y", 0),
    ("x = | # note", 0),
    ("f(|)", 1),
    ("f(|);  ", 1),
    ('s = "|"', 1),
    ("[f(|)],\r\nx", 1),
    ("def f():|", 8),
    ("def f():\n    |", 8),
    ("def f():\n\n    |\n    x", 8),
    ("def f():\n    x = 1\n    |", 1),
    ("if (a) {\r\n  |\r\n}", 8),
    ("x => |", 8),
    ("if a; then\n  |", 8),
    ("if a do|", 8),
    ("undo|", 1),
    ("|", 1),
]
BY_LANGUAGE = [
    ("python", "# note:\n|", 1),
    ("python", "x = {1:\n|", 8),
    ("python", "f = lambda x:|", 8),
    ("go", "switch x {\ncase 1:\n\t|", 8),
    ("go", "// later:\n|", 1),
    ("go", "x :=|", 1),
    ("c", "label:\n|", 1),
    ("cpp", "public:\n  |", 8),
    ("cpp", "int f() {\n  |\n}", 8),
    ("rust", "Some(x) =>\n    |", 8),
    ("java", "default:\n  |", 8),
    ("typescript", "const f = () => {|}", 1),
    ("typescript", "const f = () =>|", 8),
    ("shellscript", "if a; then|", 8),
    ("shellscript", "# then|", 1),
]


@pytest.mark.parametrize(("text", "lines"), CASES)
def test_line_limit(text: str, lines: int) -> None:
    prefix, suffix = text.split("|")
    assert line_limit("", prefix, suffix, block=8) == lines


@pytest.mark.parametrize(("language", "text", "lines"), BY_LANGUAGE)
def test_line_limit_by_language(language: str, text: str, lines: int) -> None:
    prefix, suffix = text.split("|")
    assert line_limit(language, prefix, suffix, block=8) == lines


def test_cursor_after() -> None:
    assert cursor_after(Edit(3, 0, "x"), "a b x") == 4
    assert cursor_after(Edit(3, 2, ""), "a b") == 3
    assert cursor_after(Edit(3, 0, "\n    "), "a b\n    ") == 8
    assert cursor_after(Edit(3, 0, "()"), "a b()") == 4
    assert cursor_after(Edit(3, 0, "\r\n  \r\n"), "a {\r\n  \r\n}") == 7
    assert cursor_after(Edit(3, 0, "\n  \n"), "a {\n  \nb") == 7
