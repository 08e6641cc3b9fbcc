"""Session and Generation over a scripted backend: what is computed, and exactly when."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from flash_engine import Cancelled, CapacityError, Session, Tokenizer
from flash_engine.pace import Pace

from .scripted import ScriptedBackend

A, B, C, D, E = range(100, 105)
END = 0


def counting(tokens: Sequence[int]) -> int:
    """After ..., t comes t + 1."""
    return tokens[-1] + 1


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(counting)


@pytest.fixture
def session(backend: ScriptedBackend, tokenizer: Tokenizer) -> Session:
    return Session(backend, tokenizer, Pace())


def test_sync_computes_what_is_new(session: Session, backend: ScriptedBackend) -> None:
    assert session.sync([A, B, C]) == 3
    assert session.sync([A, B, C, D]) == 1
    assert session.sync([A, B, E]) == 1
    assert backend.passes == [[A, B, C], [D], [E]]
    assert session.tokens == (A, B, E)
    assert (session.computed, session.reused) == (5, 3 + 2)


def test_sync_of_the_same_tokens_computes_nothing(session: Session) -> None:
    session.sync([A, B])
    assert session.sync([A, B]) == 0
    assert session.reused == 2


def test_sync_to_a_shorter_prompt_computes_its_last_token_for_the_logits(
    session: Session, backend: ScriptedBackend
) -> None:
    session.sync([A, B, C])
    assert session.sync([A, B]) == 1
    assert backend.passes[-1] == [B]
    assert session.logits().argmax() == B + 1


def test_sync_in_chunks_checks_cancel_before_each(
    session: Session, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "measured", lambda *_: None)  # chunks stay at 8 tokens
    cancel = threading.Event()
    prompt = list(range(100, 140))
    backend.before_forward = lambda: cancel.set() if len(backend.passes) == 1 else None
    with pytest.raises(Cancelled):
        session.sync(prompt, cancel=cancel)
    assert session.tokens == tuple(prompt[:16])
    assert session.computed == 16
    backend.before_forward = lambda: None
    assert session.sync(prompt) == 24
    assert backend.passes == [prompt[begin : begin + 8] for begin in range(0, 40, 8)]


def test_sync_cancelled_before_it_begins(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A, B])
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        session.sync([A, C, D], cancel=cancel)
    assert session.tokens == (A,)
    assert backend.passes == [[A, B]]
    assert session.sync([A, C, D]) == 2


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([], ValueError, "no tokens"),
        ([A] * 65, CapacityError, "65 tokens, the context holds 64"),
        ([A, 49_152], ValueError, "49152"),
        ([-1], ValueError, "-1"),
    ],
)
def test_bad_sync_changes_nothing(
    session: Session, tokens: list[int], error: type[Exception], message: str
) -> None:
    session.sync([A, B])
    with pytest.raises(error, match=message):
        session.sync(tokens)
    assert session.tokens == (A, B)
    assert session.sync([A, B]) == 0


def test_generate_until_the_limit(session: Session) -> None:
    session.sync([A])
    generation = session.generate(max_tokens=3)
    assert generation.finish is None
    assert [token.id for token in generation] == [B, C, D]
    assert generation.finish == "length"
    assert session.tokens == (A, B, C, D)
    assert list(generation) == []


def test_forward_of_a_token_waits_until_the_next_is_asked_for(
    session: Session, backend: ScriptedBackend
) -> None:
    session.sync([A])
    generation = session.generate(max_tokens=3)
    next(generation)
    assert backend.passes == [[A]]
    next(generation)
    assert backend.passes == [[A], [B]]
    assert session.tokens == (A, B, C)
    assert session.sync([A, B, C, D]) == 2
    assert backend.passes[-1] == [C, D]


@pytest.mark.parametrize("stop", [{C}, {C, END}])
def test_stop_token_is_not_yielded(session: Session, stop: set[int]) -> None:
    session.sync([A])
    generation = session.generate(max_tokens=9, stop=stop)
    assert [token.id for token in generation] == [B]
    assert generation.finish == "stop"
    assert session.tokens == (A, B)


def test_a_control_token_stops_unasked(tokenizer: Tokenizer) -> None:
    session = Session(ScriptedBackend(lambda tokens: 8), tokenizer, Pace())
    session.sync([A])
    generation = session.generate(max_tokens=9)
    assert list(generation) == []
    assert generation.finish == "stop"


def test_no_tokens_wanted(session: Session) -> None:
    session.sync([A])
    generation = session.generate(max_tokens=0)
    assert list(generation) == []
    assert generation.finish == "length"


def test_capacity_ends_a_generation(tokenizer: Tokenizer) -> None:
    session = Session(ScriptedBackend(counting, capacity=4), tokenizer, Pace())
    session.sync([A, B])
    generation = session.generate(max_tokens=9)
    assert [token.id for token in generation] == [C, D]
    assert generation.finish == "capacity"
    assert session.sync(session.tokens) == 1


def test_cancel_takes_effect_at_the_next_token(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A])
    cancel = threading.Event()
    generation = session.generate(max_tokens=9, cancel=cancel)
    next(generation)
    next(generation)
    cancel.set()
    assert list(generation) == []
    assert generation.finish == "cancelled"
    assert backend.passes == [[A], [B]]
    assert session.tokens == (A, B, C)


def test_cancel_within_a_forward(session: Session, backend: ScriptedBackend) -> None:
    def cancelled() -> None:
        raise Cancelled

    session.sync([A])
    generation = session.generate(max_tokens=9)
    next(generation)
    backend.before_forward = cancelled
    assert list(generation) == []
    assert generation.finish == "cancelled"
    assert session.tokens == (A, B)
    backend.before_forward = lambda: None
    assert next(session.generate(max_tokens=1)).id == C


def test_deadline_stops_forwards_but_not_the_token_at_hand(
    session: Session, backend: ScriptedBackend
) -> None:
    session.sync([A])
    generation = session.generate(max_tokens=9, deadline=time.monotonic() - 1)
    assert [token.id for token in generation] == [B]
    assert generation.finish == "deadline"
    assert backend.passes == [[A]]


def test_deadline_reached_during_a_forward_keeps_its_token(
    session: Session, backend: ScriptedBackend
) -> None:
    session.sync([A])
    deadline = time.monotonic() + 0.2
    generation = session.generate(max_tokens=9, deadline=deadline)
    next(generation)
    backend.before_forward = lambda: time.sleep(max(0.0, deadline - time.monotonic()))
    assert [token.id for token in generation] == [C]
    assert generation.finish == "deadline"
    assert backend.passes == [[A], [B]]


@pytest.mark.parametrize("other_use", ["sync", "trim", "generate"])
def test_a_generation_is_over_when_the_session_is_used_otherwise(session: Session, other_use: str) -> None:
    session.sync([A, B])
    generation = session.generate(max_tokens=9)
    next(generation)
    {
        "sync": lambda: session.sync([A]),
        "trim": lambda: session.trim(1),
        "generate": lambda: session.generate(max_tokens=1),
    }[other_use]()
    with pytest.raises(RuntimeError, match="since this generation began"):
        next(generation)


def test_generate_from_nothing_is_an_error(session: Session) -> None:
    with pytest.raises(ValueError, match="the session is empty"):
        session.generate(max_tokens=1)


def test_failed_forward_leaves_a_usable_session(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A, B])
    generation = session.generate(max_tokens=9)
    next(generation)

    def fail() -> None:
        raise MemoryError

    backend.before_forward = fail
    with pytest.raises(MemoryError):
        next(generation)
    backend.before_forward = lambda: None
    session.sync([A, B, C])
    assert session.logits().argmax() == D


def test_trim(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A, B, C])
    session.trim(2)
    assert session.tokens == (A, B)
    assert [token.id for token in session.generate(max_tokens=1)] == [C]
    assert backend.passes == [[A, B, C], [B]]
    session.trim(0)
    assert session.tokens == ()
    with pytest.raises(ValueError, match="cannot trim to 1 tokens: the session holds 0"):
        session.trim(1)


def test_trim_to_what_is_there_keeps_the_logits(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A, B])
    session.trim(2)
    assert session.logits().argmax() == C
    assert backend.passes == [[A, B]]


def test_fork_is_independent(session: Session, backend: ScriptedBackend) -> None:
    session.sync([A, B])
    next(session.generate(max_tokens=1))
    twin = session.fork()
    assert (twin.computed, twin.reused) == (0, 0)
    assert twin.tokens == session.tokens == (A, B, C)
    twin.sync([A, E])
    assert session.tokens == (A, B, C)
    assert session.logits().argmax() == D
    assert twin.logits().argmax() == E + 1


def test_same_seed_same_tokens(session: Session) -> None:
    def draw(seed: int) -> list[int]:
        session.sync([A])
        return [token.id for token in session.generate(max_tokens=12, temperature=9.0, seed=seed)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_rows_without_a_token_are_never_chosen(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "vocab_size", 500)
    session = Session(ScriptedBackend(lambda tokens: 600), tokenizer, Pace())
    session.sync([A])
    assert session.logits().argmax() == 600
    ids = [token.id for token in session.generate(max_tokens=20, temperature=5.0, seed=0)]
    assert max(ids, default=0) < 500


def test_logprob_past_the_prefix_is_the_whole_vocabularys(session: Session) -> None:
    session.sync([A])
    token = next(session.generate(max_tokens=1))
    assert token.logprob == pytest.approx(-np.log1p((49_152 - 1) * np.exp(-10.0)), abs=1e-4)


@pytest.mark.parametrize(
    ("milliseconds_per_token", "chunk"), [(0.01, 512), (0.1, 200), (1.0, 16), (2.4, 8), (50.0, 8)]
)
def test_pace(milliseconds_per_token: float, chunk: int) -> None:
    pace = Pace()
    assert pace.chunk == 8
    for _ in range(20):
        pace.measured(16, 16 * milliseconds_per_token / 1000)
        pace.measured(1, 1.0)
    assert pace.chunk == chunk
