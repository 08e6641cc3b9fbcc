"""The offmac tools lie beside flash_metal and are no part of the distribution."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flash_metal.nvidia import recorded, texts

sys.path.insert(0, str(Path(__file__).parents[2] / "metal"))


@pytest.fixture
def nothing_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No kernel of CUDA's is remembered, before the test or after it."""
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path))
    caches = (texts.module, recorded._function, recorded._host_words)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()
