"""Where a single line ends that leaves brackets open."""

from __future__ import annotations

import pytest

from flash_lsp.filters.statement import statement_end


@pytest.mark.parametrize(
    ("language", "prefix", "text", "shown"),
    [
        ("python", "x = ", "f(1)\nmore", "f(1)"),
        ("python", "x = ", "f(", None),
        ("python", "x = ", "f(\n    1,", None),
        ("python", "x = ", "f(\n    1,\n)\ny = 2", "f(\n    1,\n)"),
        ("python", "x = f(1, ", "2,\n      3)\ny", "2,\n      3)"),
        ("python", "    x = ", "f(\n        1,\n    )\n", "f(\n        1,\n    )"),
        ("python", "x = ", "{\n    1: [2,\n        3],\n}\n", "{\n    1: [2,\n        3],\n}"),
        ("python", "x = 1", "\ny = f(\n    1,\n)\nz", "\ny = f(\n    1,\n)"),
        ("python", "x = ", "f(\n    1,\n\n    2)\n", "f("),
        ("python", "x = ", "f(\ny = 2\n", "f("),
        ("python", "x = ", "f(\n    1]\n", "f("),
        ("python", "x = ", "f(\n" + "    1,\n" * 8, "f("),
        ("python", "x = ", "f(  # not (closed\n    1)\n", "f(  # not (closed\n    1)"),
        ("python", "x = ", "f('(')\n", "f('(')"),
        ("python", "# see ", "f(\n    1)\n", "f("),
        ("python", "f(\n    1,\n    ", "2,\n    3)\n", "2,"),
        ("javascript", "const f = ", "() => {\n  a();\n}\n", "() => {"),
        ("javascript", "run(", "function () {\n  a();\n});\n", "function () {"),
        ("javascript", "const a = ", "[\n  1,\n];\n", "[\n  1,\n];"),
        ("go", "\tx := ", "f(\n\t\t1,\n\t)\n", "f(\n\t\t1,\n\t)"),
        ("rust", "    let v = ", "vec![\n        1,\n    ];\n", "vec![\n        1,\n    ];"),
        ("java", "    var a = ", "List.of(\n        1,\n        2);\n", "List.of(\n        1,\n        2);"),
    ],
)  # fmt: skip
def test_a_statement_ends_where_its_brackets_are_closed(
    language: str, prefix: str, text: str, shown: str | None
) -> None:
    end = statement_end(language, 8, prefix, text)
    assert (None if end is None else text[:end]) == shown


def test_with_no_lines_to_go_on_it_ends_at_its_line_end() -> None:
    assert statement_end("python", 1, "x = ", "f(\n    1)\n") == 2


@pytest.mark.parametrize("size", range(1, 21))
def test_where_it_ends_does_not_depend_on_what_follows(size: int) -> None:
    text = "f(\n    1,\n)\ny = 2\n"
    end = statement_end("python", 8, "x = ", text[:size])
    assert end == (None if size < 12 else 11)
