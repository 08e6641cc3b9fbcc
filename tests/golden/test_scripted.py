"""Golden cases with a scripted engine: the session and its filters are real, the model's words are the case's."""

from __future__ import annotations

from typing import Any

import pytest

from flash_lsp.pending import Reply
from tests.golden.cases import Case, check, document, load
from tests.server.fakes import Editor, suggestion


class Scripted(Editor):
    """The editor of the session tests, whose model writes what the case says."""

    def __init__(self, case: Case) -> None:
        text, cursor = document(case)
        super().__init__(text, cursor, language=case["language"], **case.get("settings", {}))
        model = case.get("model", [])
        self._words = [model] if isinstance(model, str) else list(model)
        self._fields: dict[str, Any] = {"logprob": case.get("logprob", -0.1)}
        self._likely = case.get("likely", "")
        self._others = [suggestion(other) for other in case.get("candidates", [])]

    @property
    def text(self) -> str:
        return self.document.text

    async def ask(self, *, invoked: bool = False, **options: Any) -> Reply:  # type: ignore[override]
        asked = super().ask(invoked=invoked, candidates=3 if invoked else 1)
        while not asked.replies:
            assert self._words, "the case has no more words for the model"
            words = self._words.pop(0)
            likely = self._likely if words.startswith(self._likely) else ""
            self.decoder.last.end(words, "block", **self._fields, likely=likely, others=self._others)
        return asked.reply


@pytest.mark.parametrize("case", load("scripted"))
async def test_scripted(case: Case) -> None:
    screen = Scripted(case)
    await check(case, screen)
    assert not screen._words, "the model was not asked for all of its words"
