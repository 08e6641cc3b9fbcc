"""Servers that the tests start keep their statistics away from the user's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _data_folder() -> Iterator[None]:
    before = os.environ.get("XDG_DATA_HOME")
    with tempfile.TemporaryDirectory(prefix="flash-lsp-tests-", ignore_cleanup_errors=True) as folder:
        os.environ["XDG_DATA_HOME"] = folder
        yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before
