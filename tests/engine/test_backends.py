"""The backends against each other and against transformers, on tiny random llamas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flash_engine import CapacityError, Checkpoint, backends
from flash_engine.backends import reference

from .conftest import DEVICES, FAST_DEVICES, OpenTiny
from .hugging_face import HuggingFaceModel
from .tiny import Shape, write_checkpoint

SHAPES = {
    "grouped heads": Shape(),
    "groups of 64": Shape(hidden=128, ffn=192, head_dim=64, heads=2, kv_heads=2, group=64),
    "untied": Shape(tied=False),
    "biases": Shape(bias=True, kv_heads=1),
    "scaled positions": Shape(rope_factor=4.0),
    "odd sizes": Shape(hidden=96, ffn=160, layers=3, heads=3, kv_heads=3, head_dim=64, vocab=333),
}
TOLERANCE = {"mlx": 2e-3, "native": 0.1}
"""Root mean square error of logits whose standard deviation is about 1. native rounds activations to int8."""


def random_tokens(shape: Shape, count: int) -> list[int]:
    return np.random.default_rng(7).integers(0, shape.vocab, count).tolist()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_reference_is_the_llama_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: Shape
) -> None:
    """But for the rounding of keys and values, left out here."""
    monkeypatch.setattr(reference, "through_int8", lambda rows: rows)
    checkpoint = Checkpoint(write_checkpoint(tmp_path, shape))
    backend = reference.ReferenceBackend.load(checkpoint, capacity=64)
    tokens = random_tokens(shape, 40)
    logits = backend.forward(tokens, backend.new_cache(), logits=40)
    np.testing.assert_allclose(logits, HuggingFaceModel(checkpoint).logits(tokens), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("device", FAST_DEVICES)
def test_equals_the_reference(open_tiny: OpenTiny, device: str, shape: Shape) -> None:
    tokens = random_tokens(shape, 70)
    expected, logits = (
        backend.forward(tokens, backend.new_cache(), logits=70)
        for backend in (open_tiny("reference", shape), open_tiny(device, shape))
    )
    assert logits.dtype == np.float32
    assert 0.5 < expected.std() < 2
    assert np.sqrt(np.mean((logits - expected) ** 2)) < TOLERANCE[device]


@pytest.mark.parametrize("device", DEVICES)
def test_rows_of_logits(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape())
    tokens = random_tokens(Shape(), 30)
    every = backend.forward(tokens, backend.new_cache(), logits=30)
    for count in (0, 1, 9, 30):
        rows = backend.forward(tokens, backend.new_cache(), logits=count)
        assert rows.shape == (count, 300)
        assert np.array_equal(rows, every[30 - count :])


@pytest.mark.parametrize("device", DEVICES)
def test_full_cache(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape(layers=1))
    cache = backend.new_cache()
    backend.forward([1] * (backend.capacity - 1), cache, logits=0)
    with pytest.raises(CapacityError):
        backend.forward([1, 2], cache, logits=1)
    assert cache.length == backend.capacity - 1
    backend.forward([1], cache, logits=1)
    assert cache.length == backend.capacity


@pytest.mark.parametrize("device", DEVICES)
def test_trim_beyond_what_is_there(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape())
    cache = backend.new_cache()
    backend.forward([1, 2, 3], cache, logits=0)
    for length in (4, -1):
        with pytest.raises(ValueError, match="cannot trim"):
            cache.trim(length)
    assert cache.length == 3


@pytest.mark.parametrize("device", DEVICES)
def test_fork_is_independent(open_tiny: OpenTiny, device: str) -> None:
    backend = open_tiny(device, Shape())
    cache = backend.new_cache()
    backend.forward([20, 21, 22], cache, logits=0)
    twin = cache.fork()
    cache.trim(1)
    other = backend.forward([99, 98, 97], cache, logits=1)
    here = backend.forward([23], twin, logits=1)
    assert (cache.length, twin.length) == (4, 4)
    fresh = backend.new_cache()
    assert np.array_equal(backend.forward([20, 21, 22, 23], fresh, logits=1), here)
    fresh.trim(0)
    assert np.array_equal(backend.forward([20, 99, 98, 97], fresh, logits=1), other)


@pytest.mark.parametrize("device", DEVICES)
def test_name_is_for_people(open_tiny: OpenTiny, device: str) -> None:
    assert open_tiny(device, Shape()).name.startswith(f"{device} ")


def test_through_int8() -> None:
    rows = np.array([[127.0, -63.5, 0.4, 1.5], [0.0, 0.0, 0.0, 0.0], [1e-3, -1e-3, 5e-4, 0.0]])
    rounded = reference.through_int8(rows)
    np.testing.assert_allclose(rounded[0], [127, -64, 0, 2])
    np.testing.assert_array_equal(rounded[1], 0)
    np.testing.assert_allclose(rounded[2], rows[2], atol=1e-3 / 254 * 1.001)


@pytest.mark.parametrize(
    ("metal", "cuda", "expected"), [(True, False, "mlx"), (False, True, "mlx"), (False, False, "native")]
)
def test_auto_prefers_a_gpu(monkeypatch: pytest.MonkeyPatch, metal: bool, cuda: bool, expected: str) -> None:
    mx = pytest.importorskip("mlx.core")
    monkeypatch.setattr(mx.metal, "is_available", lambda: metal)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: cuda)
    assert backends.resolve("auto") == expected
