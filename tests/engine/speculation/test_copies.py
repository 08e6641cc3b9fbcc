"""Copies that differ from their text: what was replaced, and where a copy goes on after a difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flash_engine import Tokenizer
from flash_engine.speculation import Bounds, Corpus, TextDrafter
from flash_engine.speculation.copies import replaced, replacements, resumption

TEXT = list(range(100, 140))
FEW = st.lists(st.integers(0, 3), max_size=30)


def test_a_word_that_was_replaced_is_found() -> None:
    """One token for one, two for one, one for three; not one that was copied as it is since."""
    written = [*TEXT[:10], 1, *TEXT[11:20], 2, 3, *TEXT[21:30], 4, *TEXT[33:40]]
    words = replacements(written, TEXT)
    assert words == {(110,): (1,), (120,): (2, 3), (130, 131, 132): (4,)}
    assert replaced([110, 5, 130, 131, 132, 120], words) == ([1, 5, 4, 2, 3], 0)
    assert replaced([5, 6, 120], words) == ([5, 6, 2, 3], 2)
    assert replaced([5, 6, 131], words) == ([5, 6, 131], 3)
    assert not replacements([*written, 110], [*TEXT, 110]).keys() & {(110,)}


@given(FEW, FEW)
def test_replacements_are_read_off_the_copy(written: list[int], text: list[int]) -> None:
    for old, new in replacements(written, text).items():
        assert old
        assert new
        assert any(tuple(text[at : at + len(old)]) == old for at in range(len(text)))
        assert any(tuple(written[at : at + len(new)]) == new for at in range(len(written)))
    assert not replacements(text, text)


def test_a_copy_is_back_in_its_text_after_a_difference() -> None:
    """After another token, one more, one less, and after words of different length."""
    assert resumption([100, 1, 102], TEXT) == (1, 3)
    assert resumption([100, 1, 101, 102], TEXT) == (2, 3)
    assert resumption([100, 102, 103], TEXT) == (2, 4)
    assert resumption([100, 1, 2, 3, 102], TEXT) == (1, 3)
    assert resumption([100, 1, 104], TEXT) == (1, 5)
    assert resumption([100, 1], TEXT) is None
    assert resumption([100, 1, 2, 3, 4, 5, 106], TEXT) is None
    assert resumption([100, 101], []) is None


@given(FEW, FEW)
def test_where_a_copy_is_resumed_its_end_agrees(written: list[int], text: list[int]) -> None:
    if found := resumption(written, text):
        assert found.synced > 0
        assert written[-found.synced :] == text[found.place - found.synced : found.place]


def drafted(drafter: TextDrafter, tokenizer: Tokenizer, tokens: list[int]) -> list[int]:
    return drafter.draft(tokens, Bounds(tokenizer, 7, b"", frozenset(), b"")).tokens


def test_drafts_resume_after_a_difference(tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer)
    text = list(range(1000, 1040))
    corpus.add(text)
    drafter = TextDrafter(corpus)
    written = text[:10]
    assert drafted(drafter, tokenizer, written) == text[10:17]
    written += [text[10], 900]
    twin = drafter.fork()
    assert not drafted(drafter, tokenizer, written)
    written += [text[12]]
    for each in (drafter, twin):
        assert each.knows(written)
        assert drafted(each, tokenizer, written) == text[13:20]
    assert not drafted(TextDrafter(corpus), tokenizer, written)


def test_drafts_have_the_names_of_the_copy(tokenizer: Tokenizer) -> None:
    """As soon as one was replaced, and no longer once the copy has the old one again; signs are no names."""
    corpus = Corpus(tokenizer)
    (left,), (right,) = tokenizer.encode(" left"), tokenizer.encode(" right")
    (plus,), (minus,) = tokenizer.encode(" +"), tokenizer.encode(" -")
    text = [*range(1000, 1005), left, 1006, 1007, plus, *range(1010, 1015), left, plus, 1020, left, 1021]
    corpus.add(text)
    written = [*text[:5], right, 1006, 1007, minus, *text[9:12]]
    draft = drafted(TextDrafter(corpus), tokenizer, written)
    assert draft == [1013, 1014, right, plus, 1020, right, 1021]
    written += [1013, 1014, left, plus]
    assert drafted(TextDrafter(corpus), tokenizer, written) == text[-3:]


def test_an_index_that_begins_anew_is_no_harm(tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer)
    corpus.add(list(range(1000, 1040)))
    drafter = TextDrafter(corpus)
    assert drafted(drafter, tokenizer, list(range(1010, 1020)))
    corpus.index = type(corpus.index)()
    assert not drafted(drafter, tokenizer, [*range(1010, 1020), 900, 1021])
