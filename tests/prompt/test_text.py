"""The document against an obvious reference: split by hand, count by encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from flash_engine.common import common_prefix, common_suffix
from flash_lsp.text import Document, Edit, smallest_edit

ENCODINGS = ["utf-8", "utf-16", "utf-32"]
PIECES = [*"a\n\r\f\v\x85\u2028é中😀\U00010400\t \ud800", "bc", "\r\n"]

texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
encodings = st.sampled_from(ENCODINGS)
positions = st.tuples(st.integers(0, 14), st.integers(0, 14))


def units(text: str, encoding: str) -> int:
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    little = encoding if encoding == "utf-8" else encoding + "-le"
    return len(text.encode(little, "surrogatepass")) // width


def reference_lines(text: str) -> list[tuple[int, str]]:
    """(start, content) of every line."""
    lines, start, at = [], 0, 0
    while at < len(text):
        step = 2 if text[at : at + 2] == "\r\n" else 1
        if text[at] in "\r\n":
            lines.append((start, text[start:at]))
            start = at + step
        at += step
    return [*lines, (start, text[start:])]


def reference_offset(text: str, line: int, character: int, encoding: str) -> int:
    lines = reference_lines(text)
    if line >= len(lines):
        return len(text)
    start, content = lines[line]
    fits = [size for size in range(len(content) + 1) if units(content[:size], encoding) <= character]
    return start + max(fits)


@given(texts, positions, encodings)
def test_offset_agrees_with_the_reference(text: str, position: tuple[int, int], encoding: str) -> None:
    assert Document("u", "x", 0, text).offset(*position, encoding) == reference_offset(
        text, *position, encoding
    )


@given(texts, encodings)
def test_position_is_the_inverse_of_offset(text: str, encoding: str) -> None:
    document = Document("u", "x", 0, text)
    for offset in range(len(text) + 1):
        back = document.offset(*document.position(offset, encoding), encoding)
        inside_line_end = text[offset - 1 : offset + 1] == "\r\n" and offset > 0
        assert back == (offset - 1 if inside_line_end else offset)


@given(texts, st.lists(st.tuples(positions, positions, texts), max_size=8), encodings)
def test_incremental_edits_agree_with_the_reference(
    text: str, edits: list[tuple[tuple[int, int], tuple[int, int], str]], encoding: str
) -> None:
    document = Document("u", "x", 0, text)
    for first, last, inserted in edits:
        expected_start = reference_offset(text, *first, encoding)
        expected_end = max(expected_start, reference_offset(text, *last, encoding))
        change = types.TextDocumentContentChangePartial(
            range=types.Range(types.Position(*first), types.Position(*last)), text=inserted
        )
        assert document.apply([change], encoding) == [
            Edit(expected_start, expected_end - expected_start, inserted)
        ]
        text = text[:expected_start] + inserted + text[expected_end:]
        assert document.text == text
        lines = reference_lines(text)
        assert [document.line(number) for number in range(document.line_count)] == [line for _, line in lines]


@given(texts, texts)
def test_full_replacement_reports_the_smallest_edit(old: str, new: str) -> None:
    document = Document("u", "x", 0, old)
    [edit] = document.apply([types.TextDocumentContentChangeWholeDocument(text=new)], "utf-16")
    assert document.text == new
    assert old[: edit.start] + edit.inserted + old[edit.start + edit.removed :] == new
    if edit.removed and edit.inserted:
        assert old[edit.start] != edit.inserted[0]
        assert old[edit.start + edit.removed - 1] != edit.inserted[-1]


def test_several_changes_apply_in_order() -> None:
    document = Document("u", "x", 0, "ab\ncd")
    at_line_one = types.Range(types.Position(1, 0), types.Position(1, 1))
    edits = document.apply(
        [
            types.TextDocumentContentChangeWholeDocument(text="ab\nxyz"),
            types.TextDocumentContentChangePartial(range=at_line_one, text="Q\n"),
        ],
        "utf-8",
    )
    assert document.text == "ab\nQ\nyz"
    assert edits == [Edit(3, 2, "xyz"), Edit(3, 1, "Q\n")]
    assert edits[-1].end == 5


def test_form_feed_and_line_separator_do_not_end_a_line() -> None:
    document = Document("u", "x", 0, "a\fb\u2028c\x85d\ne")
    assert document.line_count == 2
    assert document.offset(1, 0, "utf-16") == 8


def test_a_position_inside_a_surrogate_pair_is_the_character_start() -> None:
    assert Document("u", "x", 0, "x😀y").offset(0, 2, "utf-16") == 1
    assert Document("u", "x", 0, "x😀y").offset(0, 3, "utf-16") == 2


def test_protocol_enums_name_encodings_too() -> None:
    assert Document("u", "x", 0, "é!").position(2, types.PositionEncodingKind.Utf8) == (0, 3)


def test_no_such_line() -> None:
    with pytest.raises(IndexError, match="line 2 of a document of 2 lines"):
        Document("u", "x", 0, "a\nb").line(2)


@given(texts, texts)
def test_common_ends(a: str, b: str) -> None:
    shared = common_prefix(a, b)
    assert a[:shared] == b[:shared]
    assert shared == min(len(a), len(b)) or a[shared] != b[shared]
    tail = common_suffix(a, b)
    assert a[len(a) - tail :] == b[len(b) - tail :]
    assert tail == min(len(a), len(b)) or a[-1 - tail] != b[-1 - tail]


def test_no_change_is_an_empty_edit() -> None:
    assert smallest_edit("same", "same") == Edit(4, 0, "")
