from __future__ import annotations

import random
import statistics
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash_lsp.bench.typing import MEDIAN_GAP_MS, Recording, apply, record
from flash_lsp.examples import example

LINES = [
    "def f(x):",
    "    return x[0]",
    "\treturn {1: 2}",
    "a = (",
    "  b = 1;",
    ")",
    "# prose",
    "",
    "    ",
    "é = '😀'",
]
sources = st.lists(st.sampled_from(LINES), max_size=30).map(lambda lines: "\n".join(lines) + "\n")


def replayed(recording: Recording) -> str:
    """The document at the end; on the way, every `at` must tell where the cursor is in the finished file."""
    document = recording.opening
    for passage in recording.passages:
        for key in passage:
            document = apply(document, key)
            if key.at is not None:
                cursor = key.start + len(key.inserted)
                line = document[:cursor].rpartition("\n")[2]
                assert recording.finished[: key.at].rpartition("\n")[2] == line
    return document


@given(sources, st.integers(0, 400), st.integers(0, 5))
def test_typing_ends_in_the_finished_file(text: str, keys: int, seed: int) -> None:
    recording = record(Path("a.py"), text, keys=keys, seed=seed)
    assert replayed(recording) == recording.finished == text
    assert bool(recording.passages) <= (keys > 0)


def test_the_same_seed_gives_the_same_recording() -> None:
    path, text = example()
    assert record(path, text, keys=200) == record(path, text, keys=200)
    assert record(path, text, keys=200) != record(path, text, keys=200, seed=1)


def test_gaps_and_kinds_are_like_a_persons() -> None:
    path, text = example()
    keys = [key for passage in record(path, text, keys=1500).passages for key in passage]
    assert statistics.median(key.gap_ms for key in keys) == pytest.approx(MEDIAN_GAP_MS)
    kinds = Counter(key.kind for key in keys)
    assert kinds["slip"] == kinds["backspace"] > 0
    assert kinds["accept"] > 0
    assert kinds["newline"] > 0
    assert kinds["delete"] > 0
    assert kinds["character"] > 0.8 * len(keys)


def test_an_editor_indents_after_enter() -> None:
    text = (
        "class A:\n    def f(self):\n        return self.a[0]\n\n    x = {1: 2}\n    y = f(x)\n    z = g(y)\n"
    )
    keys = [key for passage in record(Path("a.py"), text, keys=10_000).passages for key in passage]
    typed = {key.inserted for key in keys if key.kind == "newline"}
    assert typed == {"\n    ", "\n        "}


def test_a_file_of_prose_has_nothing_to_type() -> None:
    text = "One line.\nAnother line.\nAnd a third\n" * random.Random(0).randint(5, 9)
    assert record(Path("a.md"), text, keys=100).passages == ()
