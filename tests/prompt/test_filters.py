"""The golden cases in filters/*.toml, and how seldom real code is cut."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import flash_lsp
from flash_lsp import filters
from flash_lsp.filters import Filtered, Silence
from flash_lsp.filters.block import block_end

CURSOR = "‸"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(Path(__file__).with_name("filters").glob("*.toml"))
    for case in tomllib.loads(path.read_bytes().decode())["case"]
]


@pytest.mark.parametrize("case", CASES)
def test_golden_case(case: dict[str, Any]) -> None:
    prefix, suffix = case["before"].split(CURSOR)
    result = filters.apply(case["language"], prefix, suffix, case["suggested"], case.get("logprob", -0.1))
    silence = case.get("silence")
    assert result == Filtered(case.get("shown", ""), Silence(silence) if silence else None)


def test_the_threshold_is_the_callers() -> None:
    assert filters.apply("python", "x", "", " = 1", -7.0, min_logprob=-8.0).text == " = 1"
    assert filters.apply("python", "x", "", " = 1", -7.0, likely=" =").text == " ="
    assert filters.apply("python", "x", "", " = 1", -7.0).silence is Silence.LOW_CONFIDENCE


def test_a_single_sign_has_to_be_likely() -> None:
    assert filters.apply("python", "x = ", "", "[", -3.0).silence is Silence.LOW_CONFIDENCE
    assert filters.apply("python", "x = ", "", "[]", -3.0).text == "[]"
    assert filters.apply("python", "x = f(1", "", ")", -0.5).text == ")"


def test_the_file_s_own_text_is_left_alone() -> None:
    """The right suggestion, at any place of our own sources, is shown whole in all but a few cases."""
    cut = total = 0
    for path in Path(flash_lsp.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            gold = line.strip()
            if len(gold) < 4:
                continue
            middle = line.index(gold) + len(gold) // 2
            prefix = "".join(lines[:number]) + line[:middle]
            rest = line[middle:].rstrip()
            suffix = text[len(prefix) + len(rest) :]
            total += 1
            cut += filters.apply("python", prefix, suffix, rest, -0.1) != Filtered(rest, None)
    assert total > 200
    assert cut / total < 0.01


@pytest.mark.parametrize(
    ("prefix", "text", "max_lines", "end"),
    [
        ("x = ", "1", 1, None),
        ("x = ", "1\n", 1, 1),
        ("x = ", "1\r", 1, 1),
        ("x = 1", "\n", 1, None),
        ("x = 1", "\ny = 2\n", 1, 6),
        ("x = 1", "\n\n\n", 1, 0),
        ("x = 1", "\n\n\n", 9, 0),
        ("if x:", "\n    a\n    b\n    c", 2, 12),
        ("    ", "a\n    b\n  ", 9, None),
        ("    ", "a\n    b\n  c", 9, 7),
        ("\t", "a\n\tb\n\n", 9, 4),
    ],
)
def test_block_end(prefix: str, text: str, max_lines: int, end: int | None) -> None:
    assert block_end(prefix, text, max_lines) == end
