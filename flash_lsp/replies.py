"""Replies in the shape that the client asked for, with explicit ranges, and the client's selected menu entry."""

from __future__ import annotations

import re

from lsprotocol import types

from flash_lsp.text import Document

_WORD_END = re.compile(r"\w*\Z")
_LABEL = 60


def inline_list(text: str, chosen: str, replaced: types.Range) -> types.InlineCompletionList:
    """One inline item. Its range is empty and at the cursor, so that every editor draws it behind the cursor, except
    over a selected menu entry `chosen`, whose range and text an item must keep."""
    return types.InlineCompletionList([types.InlineCompletionItem(insert_text=chosen + text, range=replaced)])


def completion_list(document: Document, offset: int, text: str, encoding: str) -> types.CompletionList:
    """One menu entry for a client without ghost text. It replaces the word before the cursor, by which menus
    filter, and is asked for anew at every key."""
    word = _WORD_END.search(document.text, max(offset - 100, 0), offset)
    assert word is not None
    first_line = (word[0] + text.strip()).splitlines()[0]
    span = types.Range(
        types.Position(*document.position(word.start(), encoding)),
        types.Position(*document.position(offset, encoding)),
    )
    item = types.CompletionItem(
        label=first_line if len(first_line) <= _LABEL else first_line[: _LABEL - 1] + "…",
        kind=types.CompletionItemKind.Snippet,
        detail="flash-lsp",
        documentation=types.MarkupContent(
            types.MarkupKind.Markdown, f"```{document.language_id}\n{word[0]}{text}\n```"
        ),
        filter_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(span, word[0] + text),
    )
    return types.CompletionList(is_incomplete=True, items=[item])


def selected_entry(
    document: Document, position: types.Position, info: types.SelectedCompletionInfo | None, encoding: str
) -> tuple[int, str] | None:
    """Where the selected entry of the completion menu would begin, and its text; None if there is none, or if it
    would replace more than the text right before the cursor."""
    if info is None or info.range.end != position or info.range.start.line != position.line:
        return None
    return document.offset(info.range.start.line, info.range.start.character, encoding), info.text
