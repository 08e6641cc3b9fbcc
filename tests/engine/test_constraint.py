from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash_engine import Session, Tokenizer
from flash_engine.constraint import SortedVocabulary, remaining
from flash_engine.pace import Pace

from .scripted import ScriptedBackend

small_alphabet = st.binary(max_size=4).map(lambda data: bytes(byte % 3 + 97 for byte in data))


def brute_force(vocabulary: list[bytes], remainder: bytes) -> list[int]:
    return [
        token
        for token, data in enumerate(vocabulary)
        if data and (data.startswith(remainder) or remainder.startswith(data))
    ]


@given(vocabulary=st.lists(small_alphabet, min_size=1), remainder=small_alphabet.filter(bool))
def test_equals_a_search_through_any_vocabulary(vocabulary: list[bytes], remainder: bytes) -> None:
    assert SortedVocabulary(vocabulary).allowed(remainder).tolist() == brute_force(vocabulary, remainder)


@pytest.mark.parametrize(
    "remainder", ["r", " retu", "\n    ", "    " * 20, "é", "漢字", "(", "\ufffd", "x" * 200, "'"]
)
def test_equals_a_search_through_the_bundled_vocabulary(tokenizer: Tokenizer, remainder: str) -> None:
    vocabulary = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    data = remainder.encode()
    for begin in range(len(data)):
        assert tokenizer.allowed(data[begin:]).tolist() == brute_force(vocabulary, data[begin:])


@pytest.mark.parametrize("until", [b"", b"\n", b"):"])
def test_tokens_that_end_a_text(tokenizer: Tokenizer, until: bytes) -> None:
    stop = frozenset({300, 5, tokenizer.vocab_size + 7})
    vocabulary = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    wanted = [
        not data or token in stop or bool(until and until in data) for token, data in enumerate(vocabulary)
    ]
    assert tokenizer.ending(stop, until).tolist() == wanted


def test_high_bytes() -> None:
    vocabulary = [b"\xff", b"\xff\xff", b"\xfe", b"", b"\xff\x00"]
    assert SortedVocabulary(vocabulary).allowed(b"\xff").tolist() == [0, 1, 4]


def test_duplicates_are_all_allowed() -> None:
    assert SortedVocabulary([b"a", b"ab", b"a", b"ab"]).allowed(b"ab").tolist() == [0, 1, 2, 3]


def test_empty_remainder_is_an_error() -> None:
    with pytest.raises(ValueError, match="remainder is empty"):
        SortedVocabulary([b"a"]).allowed(b"")


def test_remaining() -> None:
    assert remaining(b"return", b"re") == b"turn"
    assert remaining(b"re", b"return") == b""


@settings(max_examples=150, deadline=None)
@given(
    prefix=st.text(
        st.characters(exclude_categories=["Cs", "Cc"], max_codepoint=0xFFFF), min_size=1, max_size=12
    ),
    favourite=st.integers(0, 49_151),
    temperature=st.sampled_from([0.0, 5.0]),
)
def test_generated_bytes_start_with_the_prefix(
    tokenizer: Tokenizer, prefix: str, favourite: int, temperature: float
) -> None:
    """Whatever the model would like best, a control token included."""
    session = Session(ScriptedBackend(lambda tokens: favourite), tokenizer, Pace())
    session.sync([20])
    data = prefix.encode()
    generated = b""
    for token in session.generate(max_tokens=60, prefix=data, temperature=temperature, seed=1):
        generated += token.data
        if len(generated) >= len(data):
            break
    assert generated.startswith(data)


def test_the_best_allowed_token_wins(tokenizer: Tokenizer) -> None:
    (wanted,) = tokenizer.encode(" return")
    session = Session(ScriptedBackend(lambda tokens: wanted), tokenizer, Pace())
    session.sync([20])
    token = next(session.generate(max_tokens=1, prefix=b" ret"))
    assert (token.id, token.data) == (wanted, b" return")
    others = len(tokenizer.allowed(b" ret")) - 1
    assert token.logprob == pytest.approx(-math.log1p(others * math.exp(-10)), abs=1e-5)


def test_a_stop_token_may_spell_the_prefix(tokenizer: Tokenizer) -> None:
    (newline,) = tokenizer.encode("\n")
    session = Session(ScriptedBackend(lambda tokens: newline), tokenizer, Pace())
    session.sync([20])
    generation = session.generate(max_tokens=9, prefix=b"\n", stop={newline})
    assert [token.data for token in generation] == [b"\n"]
    assert generation.finish == "stop"


def test_unspellable_prefix_is_an_error(tokenizer: Tokenizer) -> None:
    session = Session(ScriptedBackend(lambda tokens: 20), tokenizer, Pace())
    session.sync([20])
    with pytest.raises(ValueError, match=r"no token of the vocabulary spells b'\\x04'"):
        session.generate(max_tokens=1, prefix=b"a\x04")
