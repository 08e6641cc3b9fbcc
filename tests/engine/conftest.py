"""What engine tests share: the bundled tokenizer and model, tiny checkpoints, the backends that exist here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from flash_engine import Backend, Checkpoint, Tokenizer, backends, bundled

from .tiny import Shape, write_checkpoint

OpenTiny = Callable[[str, Shape], Backend]


def _needs_native(device: str) -> pytest.ParameterSet:
    missing = device == "native" and find_spec("flash_engine._native") is None
    return pytest.param(device, marks=pytest.mark.skipif(missing, reason="flash_engine._native is not built"))


DEVICES = [_needs_native(device) for device in ("reference", "mlx", "native")]
FAST_DEVICES = DEVICES[1:]
NATIVE = DEVICES[2:]


@pytest.fixture(scope="session")
def bundled_folder() -> Path:
    return bundled.root() / bundled.MAIN


@pytest.fixture(scope="session")
def tokenizer(bundled_folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(bundled_folder)


@pytest.fixture(scope="session")
def open_tiny(tmp_path_factory: pytest.TempPathFactory) -> OpenTiny:
    """Opens a random tiny llama (seed 0) of a shape on a device, capacity 300; each one once."""

    @cache
    def checkpoint(shape: Shape) -> Checkpoint:
        return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("tiny"), shape))

    @cache
    def backend(device: str, shape: Shape) -> Backend:
        return backends.load(device, checkpoint(shape), capacity=300, threads=2)

    return backend
