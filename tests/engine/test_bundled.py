"""The bundled model against transformers in float32.

Rule: the same greedy token, unless transformers' two best logits are closer than the backend's logit error. The
error is measured over all logits of all rows: four times its root mean square.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from flash_engine import Checkpoint, Logits, Tokenizer, backends

from .conftest import FAST_DEVICES
from .hugging_face import HuggingFaceModel

FILE_SEP, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX = 5, 7, 8, 9

pytestmark = pytest.mark.bundled


@dataclass(frozen=True)
class Bound:
    rows: int
    """Rows compared: MLX on a CPU needs 0.1 s for each."""
    error: float
    """Largest root mean square error allowed; the logits' standard deviation is about 7."""
    ties: float
    """Largest share of rows with another greedy token."""


BOUNDS = {"mlx": Bound(rows=40, error=0.08, ties=0.05), "native": Bound(rows=300, error=0.25, ties=0.06)}


@pytest.fixture(scope="module")
def prompt(tokenizer: Tokenizer) -> list[int]:
    source = Path(__file__).read_text()
    path, after, before = (tokenizer.encode(text) for text in ("test.py\n", source[2400:2600], source[:2400]))
    return [FILE_SEP, *path, FIM_PREFIX, FIM_SUFFIX, *after, FIM_MIDDLE, *before][:300]


@pytest.fixture(scope="module")
def checkpoint(bundled_folder: Path) -> Checkpoint:
    return Checkpoint(bundled_folder)


@pytest.fixture(scope="module")
def expected(checkpoint: Checkpoint, prompt: list[int]) -> Logits:
    return HuggingFaceModel(checkpoint).logits(prompt)


@pytest.mark.parametrize("device", FAST_DEVICES)
def test_equals_transformers(
    checkpoint: Checkpoint,
    prompt: list[int],
    expected: Logits,
    device: str,
    record_property: Callable[[str, object], None],
) -> None:
    bound = BOUNDS[device]
    tokens, wanted = prompt[: bound.rows], expected[: bound.rows]
    backend = backends.load(device, checkpoint, capacity=300)
    logits = backend.forward(tokens, backend.new_cache(), logits=len(tokens))
    error = float(np.sqrt(np.mean((logits - wanted) ** 2)))
    second, best = np.sort(wanted, axis=1)[:, -2:].T
    differs = logits.argmax(axis=1) != wanted.argmax(axis=1)
    record_property("root mean square error", error)
    record_property("other greedy token", f"{differs.sum()} of {len(tokens)}")
    print(f"{backend.name}: error {error:.3f}, another greedy token in {differs.sum()} of {len(tokens)} rows")
    assert error < bound.error
    assert np.all((best - second)[differs] < 4 * error)
    assert differs.mean() <= bound.ties


def test_transformers_understands_the_weights(prompt: list[int], expected: Logits) -> None:
    """Half of the tokens of this file are among its three best guesses: nibbles, groups and scales are in place."""
    actual = np.take_along_axis(expected[:-1], np.array(prompt[1:])[:, None], axis=1)
    assert np.median((expected[:-1] > actual).sum(axis=1)) <= 2
