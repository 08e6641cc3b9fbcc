"""Speculative decoding gives the tokens and log-probs of plain decoding, whatever is drafted and however it is used."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flash_engine import Backend, Checkpoint, Session, Tokenizer, backends, bundled
from flash_engine.pace import Pace
from flash_engine.speculation import Corpus

from ..conftest import DEVICES, NATIVE, OpenTiny
from ..tiny import Shape
from .eager import eager_session

EXAMPLES = {"reference": 40, "mlx": 15, "native": 400}
"""Examples for each device; each has up to 8 generations."""

MAIN = Shape()
DRAFTS = {"the model itself": MAIN, "another model": Shape(hidden=32, layers=1), "texts only": None}

TOKENS = st.integers(17, 299)


@dataclass(frozen=True)
class Ask:
    """One use of a session: a prompt, options of the generation, how many tokens are taken, what is done then."""

    prompt: int
    keep: int
    tail: tuple[int, ...]
    max_tokens: int
    taken: int
    stop: frozenset[int]
    prefix: bytes
    temperature: float
    cancel_after: int | None
    until: bytes
    then: str


ASKS = st.builds(
    Ask,
    prompt=st.integers(0, 2),
    keep=st.integers(1, 30),
    tail=st.lists(TOKENS, max_size=3).map(tuple),
    max_tokens=st.integers(0, 20),
    taken=st.integers(0, 20),
    stop=st.frozensets(TOKENS, max_size=30),
    prefix=st.sampled_from([b"", b"", b"a", b" re", b"\n    x", b"\xc3"]),
    temperature=st.sampled_from([0.0, 0.0, 0.0, 0.8]),
    cancel_after=st.one_of(st.none(), st.integers(0, 6)),
    until=st.sampled_from([b"", b"e", b"\n"]),
    then=st.sampled_from(["nothing", "nothing", "trim", "fork", "append"]),
)


def use(session: Session, prompts: list[list[int]], ask: Ask) -> tuple[Session, object]:
    """Do what `ask` says; returns the session to go on with and all that can be seen of it."""
    session.sync([*prompts[ask.prompt][: ask.keep], *ask.tail])
    cancel = threading.Event()
    generation = session.generate(
        max_tokens=ask.max_tokens,
        stop=ask.stop,
        prefix=ask.prefix,
        temperature=ask.temperature,
        seed=7,
        cancel=cancel,
        until=ask.until,
    )
    seen = []
    for number, token in zip(range(ask.taken), generation, strict=False):
        seen.append((token.id, token.logprob, token.data))
        if number == ask.cancel_after:
            cancel.set()
    match ask.then:
        case "trim":
            session.trim(len(session.tokens) // 2 + 1)
        case "fork":
            session = session.fork()
        case "append":
            session.append(99)
    return session, (seen, generation.finish, session.tokens, session.logits().tolist())


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("device", DEVICES)
def test_any_use_of_a_session(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str, draft: str
) -> None:
    main = open_tiny(device, MAIN)
    shape = DRAFTS[draft]
    drafting = open_tiny(device, shape) if shape else None
    rng = random.Random(1)
    base = [rng.randrange(17, 300) for _ in range(30)]
    prompts = [base, base[:20] + [rng.randrange(17, 300) for _ in range(10)], base[10:] + base[:10]]
    corpus = Corpus(tiny_tokenizer)

    @settings(max_examples=EXAMPLES[device], deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ASKS, min_size=1, max_size=8))
    def check(asks: list[Ask]) -> None:
        plain = Session(main, tiny_tokenizer, Pace())
        speculative = eager_session(main, tiny_tokenizer, drafting, corpus)
        for ask in asks:
            plain, expected = use(plain, prompts, ask)
            speculative, found = use(speculative, prompts, ask)
            assert found == expected
            corpus.add(plain.tokens[-40:])

    check()


@pytest.mark.parametrize("device", DEVICES)
def test_until_the_context_is_full(open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str) -> None:
    backend = open_tiny(device, MAIN)
    prompt = list(range(20, 300)) + [30] * 11
    outcomes = []
    for session in (
        Session(backend, tiny_tokenizer, Pace()),
        eager_session(backend, tiny_tokenizer, backend),
    ):
        session.sync(prompt)
        generation = session.generate(max_tokens=50)
        outcomes.append(([(token.id, token.logprob) for token in generation], generation.finish))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][1] == "capacity"
    assert len(outcomes[1][0]) == backend.capacity - len(prompt)


@pytest.mark.parametrize("device", NATIVE)
def test_nothing_starts_after_the_deadline(
    open_tiny: OpenTiny, tiny_tokenizer: Tokenizer, device: str
) -> None:
    """What was verified before it is still given out."""
    backend = open_tiny(device, MAIN)
    session = eager_session(backend, tiny_tokenizer, backend)
    session.sync([40, 50, 60])
    deadline = time.monotonic() + 60
    generation = session.generate(max_tokens=30, deadline=deadline)
    first = [next(generation).id for _ in range(2)]
    passes = session.speculation.passes
    generation._deadline = 0.0
    rest = [token.id for token in generation]
    assert generation.finish == "deadline"
    assert session.speculation.passes == passes
    assert len(first + rest) == 1 + 8  # the first comes from the prompt's pass, then 7 drafts and one more
    plain = Session(backend, tiny_tokenizer, Pace())
    plain.sync([40, 50, 60])
    assert [token.id for token in plain.generate(max_tokens=9)] == first + rest


@pytest.fixture(scope="module")
def bundled_pair(bundled_folder: Path) -> tuple[Backend, Backend]:
    draft = Checkpoint(bundled.locate(bundled.DRAFT))
    return (
        backends.load("native", Checkpoint(bundled_folder), capacity=600),
        backends.load("native", draft, capacity=600),
    )


@pytest.mark.bundled
@pytest.mark.parametrize("device", NATIVE)
def test_the_bundled_pair(bundled_pair: tuple[Backend, Backend], tokenizer: Tokenizer, device: str) -> None:
    """200 places of a file that is typed, with a corpus that knows it: the same tokens."""
    main, draft = bundled_pair
    text = Path(__file__).read_text()
    tokens = tokenizer.encode(text)[:300]
    corpus = Corpus(tokenizer)
    corpus.update("this", text)
    while corpus.step():
        pass
    plain, speculative = (
        Session(main, tokenizer, Pace()),
        eager_session(main, tokenizer, draft, corpus),
    )
    rng = random.Random(2)
    for end in range(100, 300):
        prefix, count = rng.choice([b"", b"", b" ", b"\n   "]), rng.randrange(1, 10)
        outcomes = []
        for session in (plain, speculative):
            session.sync(tokens[:end])
            generation = session.generate(max_tokens=count, prefix=prefix)
            outcomes.append([(token.id, token.logprob) for token in generation])
        assert outcomes[0] == outcomes[1]
    tally = speculative.speculation
    assert sum(tally.accepted.values()) > 0.15 * sum(tally.drafted.values())
