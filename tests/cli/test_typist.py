"""The typist against an editor that answers from a script."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from flash_lsp.bench.editor import Reply, ServerError
from flash_lsp.bench.metrics import rest_of_line
from flash_lsp.bench.typing import Recording, record
from flash_lsp.bench.typist import Shown, Typist
from flash_lsp.examples import example
from flash_lsp.text import Document


class ScriptedEditor:
    """Suggests what `suggestion` says of (document text, offset), after `delay` seconds."""

    def __init__(self, suggestion: Any, delay: float = 0.0) -> None:
        self.suggestion = suggestion
        self.delay = delay

    def open(self, path: Path, text: str) -> Document:
        return Document(path.name, "python", 1, text)

    def edit(self, document: Document, start: int, removed: int, inserted: str) -> None:
        text = document.text[:start] + inserted + document.text[start + removed :]
        document.apply([types.TextDocumentContentChangeWholeDocument(text)], "utf-32")
        document.version += 1

    async def suggest(self, document: Document, offset: int, trigger: object = None) -> Reply:
        text = self.suggestion(document.text, offset)
        await asyncio.sleep(self.delay)
        return Reply(text, self.delay * 1000, None)


def recording(keys: int = 80) -> Recording:
    path, text = example()
    return record(path, text, keys=keys)


def typist(editor: ScriptedEditor, recording: Recording, **options: Any) -> Typist:
    return Typist(editor, recording, **{"debounce_ms": 0.0, "speed": 50.0} | options)  # type: ignore[arg-type]


async def type_all(typist: Typist) -> None:
    for passage in typist.recording.passages:
        typist.come()
        await typist.type(passage)
        await typist.settle()


async def test_without_suggestions_the_file_is_typed_key_by_key() -> None:
    person = typist(ScriptedEditor(lambda text, offset: ""), recording())
    await type_all(person)
    assert person.document.text == person.recording.finished
    assert person.keys == person.recording.keys
    assert person.shown is None
    assert not any(request.type_through for request in person.requests)


async def test_accepted_suggestions_save_keys_and_end_in_the_same_file() -> None:
    script = recording(300)

    def rest_of_file(text: str, offset: int) -> str:
        before = text[:offset]
        return script.finished[offset:] if script.finished.startswith(before) else ""

    def accepts(person: Typist, rest: str) -> bool:
        return person.shown is not None and len(rest) > 3 and rest_of_line(person.shown.text) == rest

    person = typist(ScriptedEditor(rest_of_file), script, accepts=accepts)
    await type_all(person)
    assert person.document.text == script.finished
    assert person.accepted > 0
    assert person.keys < script.keys


async def test_requests_wait_for_the_debounce() -> None:
    script = recording(40)
    person = typist(ScriptedEditor(lambda text, offset: "x"), script, debounce_ms=10_000 / 50)
    await type_all(person)
    assert 0 < len(person.requests) < script.keys / 2


async def test_who_types_elsewhere_first_does_not_hurry_afterwards() -> None:
    script = recording(40)
    person = typist(ScriptedEditor(lambda text, offset: "x"), script, speed=10.0)
    await asyncio.sleep(0.3)
    person.come()
    began = time.perf_counter()
    await person.type(script.passages[0])
    assert time.perf_counter() - began >= sum(key.gap_ms for key in script.passages[0]) / 1000 / 10.0
    await person.settle()


async def test_a_reply_after_the_next_key_is_superseded() -> None:
    person = typist(ScriptedEditor(lambda text, offset: "x", delay=0.02), recording(40))
    await type_all(person)
    superseded = [request for request in person.requests if request.superseded]
    assert superseded
    assert all(request.text == "" for request in superseded)


async def test_a_suggestion_that_changes_or_vanishes_while_it_is_typed_flickers() -> None:
    script = recording(60)
    steady = typist(ScriptedEditor(lambda text, offset: script.finished[len(text[:offset]) :]), script)
    await type_all(steady)
    assert not any(request.flicker for request in steady.requests)
    restless = typist(ScriptedEditor(lambda text, offset: script.finished[offset:][:9] + str(offset)), script)
    await type_all(restless)
    assert any(request.flicker for request in restless.requests)


async def test_a_failed_request_stops_the_typing() -> None:
    def fail(text: str, offset: int) -> str:
        raise ServerError("gone")

    person = typist(ScriptedEditor(fail), recording())
    with pytest.raises(ServerError, match="gone"):
        await type_all(person)
    assert person.keys < person.recording.keys


def test_what_typing_leaves_of_a_suggestion() -> None:
    shown = Shown("abc", 10)
    assert shown.after(10, 0, "a") == Shown("bc", 11)
    assert shown.after(10, 0, "abc") is None
    assert shown.after(10, 0, "b") is None
    assert shown.after(9, 1, "") is None
    assert shown.after(3, 0, "a") is None
