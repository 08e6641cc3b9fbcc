"""What the user has lately been doing in which document: the order of the open ones, and text around edits."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from flash_lsp.prompt.window import ContextBlock
from flash_lsp.text import Document, Edit

_CHUNK_LINES = 24
_CHUNKS = 8

_IMPORT = re.compile(r"\s*(?:import|from|export|use|mod|pub\s+(?:use|mod)|#\s*include)\b|.*\brequire\(")


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A document as it stands; `name` is what prompts call it."""

    name: str
    language: str
    text: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the context of one document can be made of. Immutable: it is read on the model thread."""

    document: OpenFile
    root: Path | None
    """The workspace folder that holds it."""
    others: tuple[OpenFile, ...]
    """The other open documents, those edited last first."""
    chunks: tuple[ContextBlock, ...]
    """Where text was edited lately in other documents, the oldest first."""
    epoch: int
    """Counts how often the user has gone from one document to another."""
    may_read: Callable[[Path], bool]
    """Whether a file on disk may become context."""
    budget: int | None
    """Tokens that the context may take; None: what suits model and machine."""


class Recent:
    """Follows the user from document to document. A ring: the oldest chunks go first."""

    def __init__(self) -> None:
        self.epoch = 0
        self._cursors: OrderedDict[str, int | None] = OrderedDict()
        self._chunks: LRUCache[tuple[str, int], ContextBlock] = LRUCache(_CHUNKS)

    def visit(self, document: Document, find: Callable[[str], tuple[Document, str] | None]) -> None:
        """The user is in `document` now. What was edited in the one before becomes a chunk; `find` gives that document
        and what prompts call it, by its URI; None if it may not be read."""
        current = next(reversed(self._cursors), None)
        if current == document.uri:
            return
        self.epoch += 1
        if current is not None and (offset := self._cursors[current]) is not None and (left := find(current)):
            self._keep(*left, offset)
            self._cursors[current] = None
        self._cursors.setdefault(document.uri, None)
        self._cursors.move_to_end(document.uri)

    def edited(self, document: Document, edit: Edit) -> None:
        """The document that the user is in was edited. A line that imports, once it is ended, is as good as a visit."""
        self._cursors[document.uri] = edit.start
        if "\n" in edit.inserted:
            line = document.position(edit.start, "utf-32")[0]
            self.epoch += bool(_IMPORT.match(document.line(line)))

    def closed(self, uri: str) -> None:
        """Nothing of a closed document is kept but its chunks."""
        self._cursors.pop(uri, None)

    def order(self, uri: str) -> int:
        """A document's place among the visited, the latest highest; -1 for one that was never visited."""
        return list(self._cursors).index(uri) if uri in self._cursors else -1

    def chunks(self, uri: str) -> tuple[ContextBlock, ...]:
        """The chunks of other documents than `uri`, the oldest first."""
        return tuple(block for (other, _), block in self._chunks.items() if other != uri)

    def clear(self) -> None:
        """Forget all chunks."""
        self._chunks.clear()

    def _keep(self, document: Document, name: str, offset: int) -> None:
        line = document.position(offset, "utf-32")[0]
        number = line // _CHUNK_LINES
        first = max(line - _CHUNK_LINES // 2, 0)
        lines = [document.line(each) for each in range(first, min(first + _CHUNK_LINES, document.line_count))]
        self._chunks.pop((document.uri, number), None)
        self._chunks[document.uri, number] = ContextBlock(name, "\n".join(lines) + "\n")
