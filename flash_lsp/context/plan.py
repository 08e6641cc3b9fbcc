"""Which blocks of other files a prompt gets, the most stable first, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cachetools import LRUCache

from flash_lsp.context.imports import Imported, imported_files
from flash_lsp.context.outline import outline
from flash_lsp.context.recent import Surroundings
from flash_lsp.credentials import without_credentials
from flash_lsp.ignore import text_reason
from flash_lsp.prompt.window import ContextBlock

_MAX_CHARACTERS = 400_000
"""Of a file that is read for its outline."""

Size = Callable[[Sequence[ContextBlock]], int]
"""The tokens that blocks take in a prompt."""


class Planner:
    """Makes plans; keeps the outlines of files, which are read again when they have changed on disk."""

    CAPACITY = 256

    def __init__(self) -> None:
        self._texts: LRUCache[tuple[Path, int, int], str] = LRUCache(self.CAPACITY)

    def plan(self, around: Surroundings, budget: int, size: Size) -> tuple[ContextBlock, ...]:
        """The blocks for a document: outlines of the files that it imports, in the order of the imports; of other open
        files in its language; then chunks that were edited lately. All of it changes slowly, the last the most."""
        if budget <= 0:
            return ()
        blocks = [*self._imports(around), *self._open(around), *around.chunks]
        return tuple(fitting(map(_clean, blocks), budget, size))

    def _imports(self, around: Surroundings) -> Iterator[ContextBlock]:
        document = around.document
        if document.path is None or around.root is None:
            return
        for imported in imported_files(document.path, document.language, document.text, around.root):
            text = self._text(imported, around)
            if text:
                name = imported.path.relative_to(around.root).as_posix()
                yield ContextBlock(name, outline(text, document.language, imported.names))

    def _text(self, imported: Imported, around: Surroundings) -> str:
        """The text as it is in the editor, else on disk; empty if it may not be read."""
        for other in around.others:
            if other.path == imported.path:
                return other.text
        try:
            stat = imported.path.stat()
            key = imported.path, stat.st_mtime_ns, stat.st_size
            if stat.st_size > _MAX_CHARACTERS or not around.may_read(imported.path):
                return ""
            if key not in self._texts:
                text = imported.path.read_text(encoding="utf-8", errors="replace")
                left_alone = text_reason(imported.path.name, text, max_characters=_MAX_CHARACTERS)
                self._texts[key] = "" if left_alone else text
        except OSError:
            return ""
        return self._texts[key]

    def _open(self, around: Surroundings) -> Iterator[ContextBlock]:
        """Open files of the same language that are not imported."""
        document = around.document
        imported = set()
        if document.path and around.root:
            found = imported_files(document.path, document.language, document.text, around.root)
            imported = {each.path for each in found}
        for other in around.others:
            if other.language == document.language and other.path not in imported:
                yield ContextBlock(other.name, outline(other.text, other.language))


def fitting(
    blocks: Iterator[ContextBlock] | Sequence[ContextBlock], budget: int, size: Size
) -> list[ContextBlock]:
    """The blocks that fit the budget, in their order; one that does not is cut at a line end."""
    taken: list[ContextBlock] = []
    for block in blocks:
        lines = block.text.splitlines(keepends=True)
        while lines and size([*taken, ContextBlock(block.path, "".join(lines))]) > budget:
            lines = lines[: len(lines) * 3 // 4]
        if lines:
            taken.append(ContextBlock(block.path, "".join(lines)))
    return taken


def _clean(block: ContextBlock) -> ContextBlock:
    return ContextBlock(block.path, without_credentials(block.text))
