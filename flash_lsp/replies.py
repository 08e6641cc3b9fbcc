"""Replies in the shape that the client asked for, with explicit ranges, and the client's selected menu entry."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lsprotocol import types

from flash_lsp.text import Document

_WORD_END = re.compile(r"\w*\Z")
_LABEL = 60


def inline_list(texts: Sequence[str], chosen: str, replaced: types.Range) -> types.InlineCompletionList:
    """Inline items. Their range is empty and at the cursor, so that every editor draws them behind the cursor, except
    over a selected menu entry `chosen`, whose range and text an item must keep."""
    return types.InlineCompletionList(
        [types.InlineCompletionItem(insert_text=chosen + text, range=replaced) for text in texts]
    )


def completion_list(
    document: Document, offset: int, texts: Sequence[str], encoding: str
) -> types.CompletionList:
    """Menu entries for a client without ghost text. They replace the word before the cursor, by which menus filter,
    and are asked for anew at every key."""
    word = _WORD_END.search(document.text, max(offset - 100, 0), offset)
    assert word is not None
    span = types.Range(
        types.Position(*document.position(word.start(), encoding)),
        types.Position(*document.position(offset, encoding)),
    )
    items = [_entry(document.language_id, word[0], text, span) for text in texts]
    return types.CompletionList(is_incomplete=True, items=items)


def _entry(language: str, word: str, text: str, span: types.Range) -> types.CompletionItem:
    first_line = (word + text.strip()).split("\n", 1)[0]
    return types.CompletionItem(
        label=first_line if len(first_line) <= _LABEL else first_line[: _LABEL - 1] + "…",
        kind=types.CompletionItemKind.Snippet,
        detail="flash-lsp",
        documentation=types.MarkupContent(types.MarkupKind.Markdown, f"```{language}\n{word}{text}\n```"),
        filter_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(span, word + text),
    )


def selected_entry(
    document: Document, position: types.Position, info: types.SelectedCompletionInfo | None, encoding: str
) -> tuple[int, str] | None:
    """Where the selected entry of the completion menu would begin, and its text; None if there is none, or if it
    would replace more than the text right before the cursor."""
    if info is None or info.range.end != position or info.range.start.line != position.line:
        return None
    return document.offset(info.range.start.line, info.range.start.character, encoding), info.text
