"""The draft model answers first where the main model cannot in time, and the main model verifies it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flash_engine import Backend, Cancel, Engine, Session, Tokenizer
from flash_engine.pace import Pace
from flash_engine.speculation import (
    Choice,
    Controller,
    DraftCosts,
    ModelDrafter,
    PassCosts,
    Source,
    Speculator,
)
from flash_lsp.completer import Completer
from flash_lsp.flight import Guess

from ..conftest import NATIVE, OpenTiny
from ..tiny import Shape

MS = 1e-3
DEADLINE = 0.05


@pytest.mark.parametrize(
    ("pass_ms", "draft_ms", "reading_ms", "behind", "first"),
    [
        (2, 0.3, 2, 1, False),  # the model has 6 tokens in 12 ms
        (2, 0.3, 200, 300, True),  # but not after a jump
        (42, 17, 42, 1, True),
        (42, 30, 42, 1, False),  # the draft model is not much sooner
        (42, 17, 42, 2000, False),  # nor where it has to read a lot
    ],
)
def test_who_answers_first(
    pass_ms: float, draft_ms: float, reading_ms: float, behind: int, first: bool
) -> None:
    controller = Controller(PassCosts([MS * pass_ms] * 8), DraftCosts(MS * draft_ms, MS * draft_ms))
    assert controller.answers_first(MS * reading_ms, behind, DEADLINE) == first


def test_plain_sessions_and_those_without_a_draft_model_do_not_guess(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer
) -> None:
    backend = open_tiny("reference", Shape())
    controller = Controller(PassCosts([1.0] * 8))
    for speculator in (None, Speculator(controller, None, None)):
        session = Session(backend, tiny_tokenizer, Pace(), speculator)
        assert not session.draft_answers_first([40, 50], DEADLINE)
        with pytest.raises(ValueError, match="draft model"):
            list(session.guess([40, 50], max_tokens=5))


def slow_pair(backend: Backend, tokenizer: Tokenizer, chance: float) -> tuple[Session, Controller]:
    """A session whose passes are dear whatever their size, its draft model trusted with `chance` a token."""
    controller = Controller(PassCosts([1.0] * 8), DraftCosts(MS, MS))
    controller.acceptance[Source.MODEL].chances = [chance] * 10
    return Session(
        backend, tokenizer, Pace(), Speculator(controller, ModelDrafter(backend), None)
    ), controller


@pytest.mark.parametrize("device", NATIVE)
def test_a_guess_ends_where_it_is_unlikely(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str
) -> None:
    session, _ = slow_pair(open_tiny(device, Shape()), tiny_tokenizer, 0.7)
    guessing = session.guess([40, 50, 60], max_tokens=20)
    assert len(list(guessing)) == 3, "0.7 ** 3 > 0.25 > 0.7 ** 4"
    assert guessing.finish == "unlikely"


@pytest.mark.parametrize("prefix", [b"", b" re"])
@pytest.mark.parametrize("device", NATIVE)
def test_the_model_verifies_the_guess_with_no_draft_of_its_own(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str, prefix: bytes
) -> None:
    """A draft model that is the model itself guesses what plain decoding gives."""
    backend = open_tiny(device, Shape())
    session, controller = slow_pair(backend, tiny_tokenizer, 1.0)
    tokens = [40, 50, 60]
    assert session.draft_answers_first(tokens, DEADLINE)
    guessing = session.guess(tokens, max_tokens=20, prefix=prefix)
    guess = [(token.id, token.data) for token in guessing]
    assert len(guess) > 8
    session.sync(tokens)
    generation = session.generate(max_tokens=20, prefix=prefix)
    assert [(token.id, token.data) for token in generation] == guess
    assert generation.finish == guessing.finish
    assert controller.choices[Choice.GUESS] >= 2
    assert controller.choices[Choice.MODEL] == 0
    assert session.speculation.accepted[Source.MODEL] == session.speculation.drafted[Source.MODEL]
    plain = Session(backend, tiny_tokenizer, Pace())
    plain.sync(tokens)
    assert [(token.id, token.data) for token in plain.generate(max_tokens=20, prefix=prefix)] == guess


@pytest.mark.parametrize("device", NATIVE)
def test_a_cancelled_guess_leaves_all_as_it_was(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str
) -> None:
    session, _ = slow_pair(open_tiny(device, Shape()), tiny_tokenizer, 1.0)
    session.sync([40, 50])
    cancel = Cancel()
    guessing = session.guess([40, 50, 60], max_tokens=40, cancel=cancel)
    before = [next(guessing).id for _ in range(3)]
    cancel.set()
    before += [token.id for token in guessing]
    assert guessing.finish == "cancelled"
    assert len(before) < 40
    assert session.tokens == (40, 50)
    again = [token.id for token in session.guess([40, 50, 60], max_tokens=40)]
    assert again[: len(before)] == before


@pytest.mark.bundled
def test_the_bundled_pair_answers_first_after_a_jump(bundled_folder: Path) -> None:
    """With a deadline that only the draft model can keep; the suggestion itself is that of plain decoding."""
    text = Path(__file__).read_text()
    cut = text.index("assert session.tokens ==")
    with Engine.load(device="native", context=1024) as engine:
        completer = Completer(engine)
        guesses: list[Guess] = []

        def complete(session: Session, seconds: float | None) -> str:
            return completer.complete(
                "a.py",
                text[:cut],
                text[cut:],
                session=session,
                max_lines=1,
                max_tokens=30,
                seconds=seconds,
                guessed=guesses.append,
            ).text

        plain = engine.submit(lambda: complete(engine.plain_session(), 0.005)).result()
        assert not guesses
        session = engine.session()
        assert engine.submit(lambda: complete(session, 0.005)).result() == plain
        assert guesses
        assert all(later.text.startswith(former.text) for former, later in itertools.pairwise(guesses))
        guesses.clear()
        assert engine.submit(lambda: complete(session, 60.0)).result() == plain
        assert not guesses, "a minute is enough for the model itself"
