from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash_lsp.cli.batch import Case, read_cases
from flash_lsp.cli.errors import InputError

from .conftest import Run

GOOD = {"path": "a.py", "prefix": "x = ", "suffix": "\n"}


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_cases_keep_their_text_to_the_byte(tmp_path: Path) -> None:
    text = "  a\u2028b\r\n\t é😀  \n"
    file = write(
        tmp_path / "cases.jsonl",
        json.dumps({"path": "p", "prefix": text, "suffix": text}, ensure_ascii=False),
        "",
        json.dumps(GOOD | {"id": {"n": [1]}, "gold": "1"}),
    )
    assert read_cases(file) == [Case("p", text, text, {}), Case("a.py", "x = ", "\n", {"id": {"n": [1]}})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object with path, prefix, suffix"),
        (json.dumps({"path": "a", "prefix": "b"}), "'suffix' must be a string"),
        (json.dumps(GOOD | {"prefix": None}), "'prefix' must be a string"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path / "cases.jsonl", json.dumps(GOOD), "", line)
    with pytest.raises(InputError, match=message) as error:
        read_cases(file)
    assert str(error.value).startswith(f"{file}, line 3: ")


def test_a_malformed_line_ends_the_command_before_any_work(tmp_path: Path, flash_lsp: Run) -> None:
    file = write(tmp_path / "cases.jsonl", json.dumps(GOOD), "oops")
    outcome = flash_lsp("complete", "--batch", file, "--model", "no-such-model")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"flash-lsp: {file}, line 2: not JSON")
    assert outcome.err.count("\n") == 1


@pytest.mark.bundled
def test_answers_come_in_order_with_their_ids(tmp_path: Path, flash_lsp: Run) -> None:
    add = {"path": "a.py", "prefix": "def add(a, b):\n    return a", "suffix": "\n"}
    cases = [add | {"id": "first"}, GOOD, add | {"id": 3}]
    file = write(tmp_path / "cases.jsonl", *map(json.dumps, cases))
    outcome = flash_lsp("complete", "--batch", file)
    assert outcome.code == 0
    answers = [json.loads(line) for line in outcome.out.splitlines()]
    assert [answer.get("id") for answer in answers] == ["first", None, 3]
    assert answers[0]["text"] == answers[2]["text"] == " + b"
    assert all(answer["tokens"] >= 1 and answer["ms"] > 0 and answer["finish"] for answer in answers)
    assert all("\n" not in answer["text"] for answer in answers)
