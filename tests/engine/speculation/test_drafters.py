"""Where drafts come from: the suffix index against a search of everything, texts read in steps, the draft model."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash_engine import Session, Tokenizer, sampling
from flash_engine.pace import Pace
from flash_engine.speculation import Bounds, Corpus, Lookup, ModelDrafter, PassCosts, TextDrafter
from flash_engine.speculation.corpus import CAPACITY, changed_lines
from flash_engine.speculation.suffixes import LONGEST_MATCH, SuffixIndex

from ..conftest import NATIVE, OpenTiny
from ..tiny import Shape

FEW = st.lists(st.integers(0, 3), max_size=40)


ALWAYS = [0.0] * 7
CHANCES = [(grade + 0.5) / 10 for grade in range(10)]


def longest_by_search(texts: list[list[int]], tokens: list[int]) -> int:
    """Length of the longest suffix of `tokens`, of 3 to LONGEST_MATCH, that a text has before another token."""
    for length in range(min(len(tokens), LONGEST_MATCH), 2, -1):
        end = tokens[-length:]
        for text in texts:
            if any(text[at : at + length] == end for at in range(len(text) - length)):
                return length
    return 0


@given(st.lists(FEW, max_size=2), FEW)
def test_the_longest_match_is_found(texts: list[list[int]], tokens: list[int]) -> None:
    index = SuffixIndex()
    for text in texts:
        index.add(text)
    found = index.matches(tokens)
    if len(found) < 24:
        assert max((match.length for match in found), default=0) == longest_by_search(texts, tokens)
    for match in found:
        whole = [*tokens[-match.length :], *index.after(match.place, 5)]
        assert any(text[at : at + len(whole)] == whole for text in texts for at in range(len(text)))


@given(st.text("ab\n", max_size=60), st.text("ab\n", max_size=60))
def test_changed_lines_hold_the_change(before: str, after: str) -> None:
    """Every line that is new is among them."""
    changed = changed_lines(before, after)
    assert changed in after
    assert {*after.split("\n")} - {*before.split("\n")} <= {*changed.split("\n")}


def test_an_edit_reads_the_lines_around_it(tokenizer: Tokenizer) -> None:
    lines = [f"value_{number} = compute(first, {number})\n" for number in range(5000)]
    corpus = Corpus(tokenizer)
    corpus.update("a.py", "".join(lines))
    while corpus.step():
        pass
    size = len(corpus.index)
    lines[2500] = "answer = value_1 + value_2\n"
    corpus.update("a.py", "".join(lines))
    assert not corpus.step()
    assert 10 < len(corpus.index) - size < 100
    bounds = Bounds(tokenizer, 5, b"", frozenset(), b"")
    draft = TextDrafter(corpus).draft(tokenizer.encode("\nanswer = value_1 +"), bounds)
    assert tokenizer.decode(draft.tokens).startswith(b" value_2"[: len(tokenizer.decode(draft.tokens))])
    assert draft.tokens


def test_memory_is_bounded_and_open_texts_are_read_again(tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer)
    corpus.update("a.py", "alpha = beta(gamma, delta)\n")
    corpus.step()
    rng = random.Random(0)
    for _ in range(CAPACITY // 1000 + 2):
        corpus.add([rng.randrange(17, 49_000) for _ in range(1000)])
        while corpus.step():
            pass
    assert len(corpus.index) < CAPACITY / 8
    assert corpus.index.matches(tokenizer.encode("alpha = beta("))


def test_places_that_say_something_else_lower_the_grade(tokenizer: Tokenizer) -> None:
    bounds = Bounds(tokenizer, 5, b"", frozenset(), b"")
    corpus = Corpus(tokenizer)
    drafter = TextDrafter(corpus)
    head = [300, 301, 302]
    assert not drafter.knows(head)
    corpus.add([*head, 400, 401, 402])
    alone = drafter.draft(head, bounds)
    assert drafter.knows(head)
    assert alone.tokens == [400, 401, 402]
    assert alone.grades == sorted(alone.grades)
    corpus.add([*head, 400, 401, 403])
    agreed = drafter.draft(head, bounds)
    assert agreed.tokens == [400, 401, 403]
    assert agreed.grades[0] > alone.grades[0]
    assert agreed.grades[2] < alone.grades[0]


def test_a_draft_ends_at_what_ends_the_text(tokenizer: Tokenizer) -> None:
    text = tokenizer.encode("alpha = beta\ngamma = delta")
    newline = next(place for place, token in enumerate(text) if b"\n" in tokenizer.token_bytes(token))
    for bounds, count in (
        (Bounds(tokenizer, 50, b"", frozenset(), b""), len(text)),
        (Bounds(tokenizer, 2, b"", frozenset(), b""), 2),
        (Bounds(tokenizer, 50, b"", frozenset(), b"\n"), newline),
        (Bounds(tokenizer, 50, b"", frozenset(text[1:2]), b""), 1),
    ):
        assert bounds.cut(text) == text[:count]


@pytest.mark.parametrize("device", NATIVE)
@pytest.mark.parametrize("looks_up", [False, True])
def test_the_draft_model_keeps_in_step(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str, looks_up: bool
) -> None:
    """After any acceptance, rejection, trim or fork it drafts what it would draft afresh."""
    backend = open_tiny(device, Shape())
    lookup = Lookup(PassCosts([1.0] * 8)) if looks_up else None
    drafter = ModelDrafter(backend, lookup)
    rng = random.Random(1)
    tokens = [40, 50, 60]
    for _ in range(150):
        bounds = Bounds(tiny_tokenizer, rng.randrange(1, 8), b"", frozenset(), b"")
        found = drafter.draft(tokens, bounds, ALWAYS, CHANCES).tokens
        fresh = Session(backend, tiny_tokenizer, Pace())
        fresh.sync(tokens)
        expected = [token.id for token in fresh.generate(max_tokens=bounds.most)]
        assert found == expected
        match rng.choice(["accept", "reject", "trim", "fork"]):
            case "accept":
                tokens += found
            case "reject":
                tokens += [*found[: rng.randrange(len(found) + 1)], rng.randrange(17, 300)]
            case "trim" if len(tokens) > 3:
                del tokens[rng.randrange(2, len(tokens)) :]
                drafter.truncate(len(tokens))
            case "fork":
                drafter = drafter.fork()
        if len(tokens) > 200:
            del tokens[5:]
            drafter.truncate(5)
        drafter.read(tokens, rng.randrange(3))
    assert lookup is None or max(lookup.right.values()) != min(lookup.right.values())


def test_the_lookup_knows_the_session_again_when_it_begins_anew(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer
) -> None:
    backend, lookup = open_tiny("reference", Shape()), Lookup(PassCosts([1.0] * 8))
    bounds = Bounds(tiny_tokenizer, 1, b"", frozenset(), b"")
    drafter, other = (ModelDrafter(backend, lookup) for _ in range(2))
    drafter.draft([40, 50, 60], bounds, ALWAYS, CHANCES)
    assert lookup.ngrams.after([40], 2) == [(50, 1), (60, 2)]
    drafter.truncate(2)
    drafter.draft([40, 50, 61, 62], bounds, ALWAYS, CHANCES)
    assert lookup.ngrams.after([40], 3) == [(50, 1), (61, 2), (62, 3)]
    lookup.ngrams.add(range(1000, 30_000), 0, 29_000)
    other.draft([70, 71], bounds, ALWAYS, CHANCES)
    assert lookup.ngrams.after([40], 1) == []
    drafter.draft([40, 50, 61, 62, 63], bounds, ALWAYS, CHANCES)
    assert lookup.ngrams.after([40], 1) == [(50, 1)]


@pytest.mark.parametrize("prefix", [b" re", b"\n   "])
def test_drafts_spell_the_byte_prefix(open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, prefix: bytes) -> None:
    backend = open_tiny("reference", Shape())
    bounds = Bounds(tiny_tokenizer, 7, prefix, frozenset(), b"")
    draft = ModelDrafter(backend).draft([40, 50, 60], bounds, ALWAYS, CHANCES)
    data = tiny_tokenizer.decode(draft.tokens)
    assert data.startswith(prefix) or prefix.startswith(data)
    rows = backend.forward([40, 50, 60], backend.new_cache(), logits=1)
    assert draft.tokens[0] == sampling.greedy(rows[0], tiny_tokenizer.allowed(prefix))[0]
