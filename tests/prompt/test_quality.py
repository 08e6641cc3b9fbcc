"""Cases cut from source files, and the quality bench over a scripted model."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.scripted import CONFIG, ScriptedBackend

from flash_engine import Engine, Tokenizer
from flash_lsp.bench import quality
from flash_lsp.bench.cases import Case, in_docstring, rest_of_line, with_closers_right, with_tail_right

SOURCE = "".join(f"def function_{n}(argument):\n    return compute(argument, [{n}])\n\n\n" for n in range(60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text(SOURCE)
    (tmp_path / "b.c").write_text(SOURCE.replace("def", "int"))
    (tmp_path / "notes.txt").write_text(SOURCE)
    (tmp_path / "small.py").write_text("x = 1\n")
    (tmp_path / "binary.py").write_bytes(b"\xff" * 1000)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.py").write_text(SOURCE)
    return tmp_path


def test_cases_are_places_in_the_sources(folder: Path) -> None:
    cases = rest_of_line(folder, count=100, seed=1)
    assert len(cases) == 100
    assert {case.path for case in cases} == {"pkg/a.py", "b.c"}
    for case in cases:
        text = (folder / case.path).read_text()
        assert case.prefix + case.gold + case.suffix in text
        assert len(case.gold) >= 4
        assert "\n" not in case.gold
        assert case.suffix == "" or (case.suffix[0], case.suffix[-1]) == ("\n", "\n")
        assert len(case.prefix) <= 1500
        assert len(case.suffix) <= 600
    inside_a_word = sum(case.prefix[-1].isalnum() and case.gold[0].isalnum() for case in cases)
    assert 20 < inside_a_word < 80


def test_the_seed_decides(folder: Path) -> None:
    assert rest_of_line(folder, count=20, seed=1) == rest_of_line(folder, count=20, seed=1)
    assert rest_of_line(folder, count=20, seed=1) != rest_of_line(folder, count=20, seed=2)
    assert rest_of_line(folder / "pkg", count=10_000, seed=1)[0].path == "a.py"


def test_cases_inside_docstrings(folder: Path) -> None:
    told = "Says what it does, word by word.\n    " * 40
    for name in ("told.py", "more.py"):
        (folder / name).write_text(f'def f():\n    """{told}"""\n    return "nothing"\n')
    cases = in_docstring(folder, count=5, seed=1)
    assert {case.path for case in cases} == {"told.py", "more.py"}
    for case in cases:
        text = (folder / case.path).read_text()
        assert case.prefix + case.gold + case.suffix in text
        assert case.gold[0] == " "
        assert not case.prefix[-1].isspace()
        assert (
            300
            <= text.index(case.prefix + case.gold) + len(case.prefix) - text.index("Says")
            <= len(told) - 300
        )
    assert cases == in_docstring(folder, count=5, seed=1)
    assert in_docstring(folder, count=1, seed=1) == cases[:1]


def test_text_moved_right_of_the_cursor() -> None:
    assert with_closers_right(Case("a.py", "if f(", "\n", "g(x), [1]):")) == Case(
        "a.py", "if f(", "\n", "g(x), [1]", "):"
    )
    assert with_tail_right(Case("a.py", "x = ", "\n", "f(value, [1]):")) == Case(
        "a.py", "x = ", "\n", "f(value", ", [1]):"
    )
    for gold in ("value", "g(x)", "abc) + d", "ab)"):
        assert with_closers_right(Case("a.py", "", "", gold)) is None
    assert with_tail_right(Case("a.py", "", "", "value")) is None


def test_the_bench_counts_every_form(folder: Path, tokenizer: Tokenizer) -> None:
    backend = ScriptedBackend(lambda tokens: 0, capacity=1024)
    with Engine("flash-coder", folder, CONFIG, tokenizer, backend) as engine:
        figures = quality.run(engine, folder / "pkg", count=2)
    assert figures["cases"] == 2
    names = [row["form"] for row in figures["forms"]]
    assert names[:2] == ["SPM", "SPM"]
    assert names.count("PSM, split at the cursor") == 2
    assert all(row["cases"] == 2 and row["exact"] == 0 for row in figures["forms"])
    assert len(figures["mid_line"]) == 4


def test_anchors_are_line_starts() -> None:
    case = Case("a.py", "one\ntwo\nthree = ", "\n", "gold")
    assert quality.anchored(0)(case).typed == "three = "
    assert quality.anchored(1)(case).typed == "two\nthree = "
    assert quality.anchored(20)(case).typed == case.prefix
