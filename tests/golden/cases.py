"""Golden cases: TOML files with cursor marks, and what checks one against an editor.

Each case is a `[[case]]` of a file that is named for the behaviour it shows:

    name, complaint   what it is about, and where users complained of it, if they did
    language          LSP language id
    before            the document, the cursor at ‸
    shown | silence   the ghost text at the cursor, or the reason why there is none
    others            more texts to choose from; the case is then asked for by hand (Invoked)
    then              what is done next, each step followed by a request and its own `shown` or `silence`:
                      type (key by key), insert (at once), closing (what the editor closes by itself behind it),
                      over (typed over the characters right of the cursor), delete (characters, backwards),
                      take (characters of the ghost text), move (characters)
    after             the document when all that is shown in the end is accepted; left out where nothing is shown
    crlf              the document's line ends are \\r\\n

Scripted cases add `model`, what the model writes in one decode after the other, `logprob`, and `likely`, the
beginning of what it writes that is likely enough.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Protocol

import pytest

CURSOR = "‸"
HERE = Path(__file__).parent

Case = dict[str, Any]


class Answer(Protocol):
    text: str
    silence: str | None
    others: tuple[str, ...]


class Screen(Protocol):
    """An editor with one document, in code points."""

    text: str
    cursor: int

    def edit(self, start: int, removed: int, inserted: str) -> None: ...

    async def ask(self, *, invoked: bool) -> Answer: ...


def load(folder: str) -> list[Any]:
    """The cases of a folder as test parameters."""
    return [
        pytest.param(case, id=f"{path.stem}: {case['name']}")
        for path in sorted((HERE / folder).glob("*.toml"))
        for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    ]


def document(case: Case) -> tuple[str, int]:
    """The text to open and the cursor's offset."""
    text = case["before"].replace("\n", "\r\n") if case.get("crlf") else case["before"]
    before, after = text.split(CURSOR)
    return before + after, len(before)


async def check(case: Case, screen: Screen) -> None:
    """Go through a case on the screen."""
    newline = "\r\n" if case.get("crlf") else "\n"
    shown = await _asked(case, screen, invoked="others" in case)
    for step in case.get("then", ()):
        _do(step, screen, shown.replace("\n", newline), newline)
        shown = await _asked(step, screen)
    if shown:
        screen.edit(screen.cursor, 0, shown.replace("\n", newline))
        end = screen.text[: screen.cursor] + CURSOR + screen.text[screen.cursor :]
        assert end.replace("\r\n", "\n") == case["after"]


async def _asked(expected: Case, screen: Screen, *, invoked: bool = False) -> str:
    answer = await screen.ask(invoked=invoked)
    assert (answer.text, answer.silence) == (expected.get("shown", ""), expected.get("silence"))
    assert list(answer.others) == expected.get("others", [])
    return answer.text


def _do(step: Case, screen: Screen, shown: str, newline: str) -> None:
    for character in step.get("type", ""):
        screen.edit(screen.cursor, 0, newline if character == "\n" else character)
    typed = step.get("insert", "") + shown[: step.get("take", 0)]
    if typed or "closing" in step:
        closing = step.get("closing", "")
        screen.edit(screen.cursor, 0, (typed + closing).replace("\n", newline))
        screen.cursor -= len(closing.replace("\n", newline))
    if over := step.get("over", ""):
        screen.edit(screen.cursor, len(over), over)
    if count := step.get("delete", 0):
        screen.edit(screen.cursor - count, count, "")
    screen.cursor += step.get("move", 0)
