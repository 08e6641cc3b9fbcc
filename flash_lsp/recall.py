"""What the model keeps of documents from one start of the server to the next, if the user wants that: a KV store."""

from __future__ import annotations

import logging
from pathlib import Path

import platformdirs

from flash_engine import Engine, FlashError, Session
from flash_engine.kvstore import KVStore, store_key
from flash_lsp.completer import Completer
from flash_lsp.places import path_of

MARKER = ".flash-lsp-private"
"""A file of this name keeps its folder, and all below, out of the store."""

logger = logging.getLogger(__name__)


def store_folder() -> Path:
    """Where the store lies."""
    return platformdirs.user_cache_path("flash-lsp") / "kv"


def is_private(uri: str) -> bool:
    """Whether nothing of the document may be kept: it is no file on disk, or a folder above it has MARKER."""
    path = path_of(uri)
    return path is None or any((folder / MARKER).exists() for folder in path.parents)


class Recall:
    """Keeps the KV caches of documents and brings them back. Call it on the engine's model thread."""

    def __init__(self, engine: Engine, completer: Completer, megabytes: int) -> None:
        self._store = KVStore(store_folder(), megabytes * 1_000_000)
        self._key = store_key(engine.folder, engine.quantized, engine.backend.name, completer.template.family)

    def restore(self, session: Session, uri: str, tokens: list[int]) -> None:
        """Bring what is kept of the beginning of the prompt `tokens` into the empty `session`, if there is any."""
        if is_private(uri):
            return
        try:
            found = self._store.find(self._key, tokens)
            if found:
                session.load(*found)
        except (OSError, ValueError, FlashError) as error:
            logger.warning("the KV store could not be read: %s", type(error).__name__)

    def keep(self, session: Session, uri: str) -> None:
        """Put away what `session` holds of a document."""
        if is_private(uri):
            return
        try:
            saved = session.save()
            if saved:
                self._store.put(self._key, *saved)
        except OSError as error:
            logger.warning("the KV store could not be written: %s", type(error).__name__)
