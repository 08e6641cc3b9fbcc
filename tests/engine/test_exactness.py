"""Any history gives the same logits, bit for bit, and so the same tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flash_engine import Backend, Cancelled, Checkpoint, Session, Tokenizer, backends
from flash_engine.pace import Pace

from .conftest import DEVICES, NATIVE, OpenTiny
from .histories import family, run_history
from .tiny import Shape

SHAPES = {
    "grouped heads": Shape(),
    "untied, biases, groups of 64, scaled positions": Shape(
        hidden=128, heads=3, kv_heads=1, head_dim=64, group=64, tied=False, bias=True, rope_factor=4.0
    ),
    "one head each, odd sizes": Shape(
        hidden=96, ffn=160, layers=1, heads=5, kv_heads=5, head_dim=64, vocab=333
    ),
}
HISTORIES = {"reference": 20, "mlx": 40, "native": 1000}
"""Histories for each shape and device."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("device", DEVICES)
def test_random_histories(open_tiny: OpenTiny, device: str, shape: str) -> None:
    backend = open_tiny(device, SHAPES[shape])
    rng = np.random.default_rng(1)
    relatives = family(backend, rng, length=60)
    rows = sum(run_history(backend, relatives, rng, steps=12) for _ in range(HISTORIES[device]))
    assert rows > 20 * HISTORIES[device]


@pytest.mark.parametrize("device", DEVICES)
def test_random_histories_of_long_sequences(open_tiny: OpenTiny, device: str) -> None:
    """Across the lengths at which attention is cut into blocks."""
    backend = open_tiny(device, Shape(layers=1))
    rng = np.random.default_rng(2)
    relatives = family(backend, rng, length=backend.capacity, branches=3)
    for _ in range(HISTORIES[device] // 10):
        run_history(backend, relatives, rng, steps=40)


class RandomPace(Pace):
    """Chunks of random sizes in place of measured ones."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self._rng = rng

    @property
    def chunk(self) -> int:
        return int(self._rng.integers(1, 40))


def generated(session: Session, prompt: Sequence[int], count: int) -> list[tuple[int, float]]:
    session.sync(prompt)
    return [(token.id, token.logprob) for token in session.generate(max_tokens=count)]


def check_sessions(backend: Backend, tokenizer: Tokenizer, prompts: list[list[int]], rounds: int) -> None:
    """A session with a past, or a fork of one, generates the tokens and log-probs that a new one does."""
    rng = np.random.default_rng(3)
    pace = RandomPace(rng)
    expected = [generated(Session(backend, tokenizer, Pace()), prompt, 6) for prompt in prompts]
    session = Session(backend, tokenizer, pace)
    for _ in range(rounds):
        which = int(rng.integers(len(prompts)))
        prompt = prompts[which]
        match rng.choice(["sync", "trim", "fork", "abandon", "cancel"]):
            case "trim" if session.tokens:
                session.trim(int(rng.integers(len(session.tokens))))
            case "fork":
                session = session.fork()
            case "abandon":
                session.sync(prompt[: rng.integers(1, len(prompt) + 1)])
                next(session.generate(max_tokens=5), None)
            case "cancel":
                cancel = threading.Event()
                cancel.set()
                with pytest.raises(Cancelled):
                    session.sync([*prompt[: len(prompt) // 2], 99, 99], cancel=cancel)
        count = int(rng.integers(0, 7))
        assert generated(session, prompt, count) == expected[which][:count]


def branching_prompts(base: list[int], rng: np.random.Generator) -> list[list[int]]:
    """`base` and beginnings of it, some with other ends."""
    prompts = [base]
    for _ in range(7):
        keep = int(rng.integers(1, len(base)))
        prompts.append(base[:keep] + rng.integers(17, 300, rng.integers(0, 12)).tolist())
    return prompts


@pytest.mark.parametrize("device", DEVICES)
def test_sessions_with_a_past(open_tiny: OpenTiny, tokenizer: Tokenizer, device: str) -> None:
    backend = open_tiny(device, Shape())
    rng = np.random.default_rng(4)
    prompts = branching_prompts(rng.integers(17, 300, 50).tolist(), rng)
    check_sessions(backend, tokenizer, prompts, rounds=HISTORIES[device] // 4)


@pytest.fixture(scope="module")
def bundled_backend(bundled_folder: Path) -> Backend:
    return backends.load("native", Checkpoint(bundled_folder), capacity=300)


@pytest.mark.bundled
@pytest.mark.parametrize("device", NATIVE)
def test_random_histories_of_the_bundled_model(bundled_backend: Backend, device: str) -> None:
    rng = np.random.default_rng(5)
    relatives = family(bundled_backend, rng, length=60)
    for _ in range(200):
        run_history(bundled_backend, relatives, rng, steps=8)


@pytest.mark.bundled
@pytest.mark.parametrize("device", NATIVE)
def test_sessions_with_a_past_on_the_bundled_model(
    bundled_backend: Backend, tokenizer: Tokenizer, device: str
) -> None:
    prompts = branching_prompts(tokenizer.encode(Path(__file__).read_text())[:120], np.random.default_rng(6))
    check_sessions(bundled_backend, tokenizer, prompts, rounds=100)
