"""A tokenizer and an engine of the bundled model, shared by the tests that want the real thing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flash_engine import DeviceError, Engine, Tokenizer
from flash_engine.bundled import locate


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(locate("flash-coder"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        engine = Engine.load(device="native", context=1024)
    except DeviceError as error:
        pytest.skip(str(error))
    with engine:
        yield engine
