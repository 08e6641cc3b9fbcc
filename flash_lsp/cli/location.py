"""FILE:LINE:COL: where in which file a completion is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flash_lsp.cli.errors import InputError
from flash_lsp.text import Document


@dataclass(frozen=True, slots=True)
class Location:
    """A position in a source file. `line` and `column` count from 1, columns in code points."""

    path: Path
    line: int
    column: int

    @classmethod
    def parse(cls, text: str) -> Location:
        """Parse FILE:LINE:COL; the file's own name may hold colons. Raises InputError."""
        parts = text.rsplit(":", 2)
        if (
            len(parts) != 3
            or not parts[0]
            or not all(number.isascii() and number.isdigit() for number in parts[1:])
        ):
            raise InputError(
                f"{text!r} is not FILE:LINE:COL: give a file, a line and a column, such as main.py:12:9"
            )
        return cls(Path(parts[0]), int(parts[1]), int(parts[2]))

    def split(self, text: str) -> tuple[str, str]:
        """Split the file's `text` at this position into (prefix, suffix); InputError if it lies outside.

        The last column of a line is the one after its last character.
        """
        document = Document(str(self.path), "", 0, text)
        if not 1 <= self.line <= document.line_count:
            raise InputError(
                f"{self.path} has lines 1 to {document.line_count}; there is no line {self.line}"
            )
        columns = len(document.line(self.line - 1)) + 1
        if not 1 <= self.column <= columns:
            raise InputError(
                f"{self.path}: line {self.line} has columns 1 to {columns}; there is no column {self.column}"
            )
        offset = document.offset(self.line - 1, self.column - 1, "utf-32")
        return text[:offset], text[offset:]


def read_source(path: Path) -> str:
    """The text of a source file, line ends as they are. Raises InputError: no file, a folder, not UTF-8 text."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give a file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if b"\0" in data:
        raise InputError(f"{path} is a binary file: give a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, or give another file"
        ) from None
