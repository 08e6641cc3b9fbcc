"""Where a line that leaves its brackets open goes on to: the end of its statement."""

from __future__ import annotations

from itertools import pairwise

from flash_lsp.filters.block import block_end, indentation
from flash_lsp.filters.brackets import BracketReader
from flash_lsp.languages import language
from flash_lsp.text import LINE_END


def statement_end(language_id: str, max_lines: int, prefix: str, text: str) -> int | None:
    """Offset in `text`, a line suggested at the end of `prefix`, at which it is complete; None if it may go on.

    That is its line end, or, where the brackets that its line opens are still open there, the line end at which they
    are closed. It is the first line end again if that takes more than `max_lines` lines, or if before it comes a blank
    line, one that is not indented deeper, or a bracket that closes something else. Braces of blocks stay open.
    """
    line_end = block_end(prefix, text, 1)
    if line_end is None:
        return None
    reader = BracketReader(language_id)
    line = LINE_END.split(prefix[-_LONGEST_LINE:] + text[:line_end])[-1]
    reader.read_all(line)
    in_string = reader.closer not in (None, "\n")
    if in_string or not reader.openers or reader.openers[-1] not in language(language_id).brackets:
        return line_end
    base = indentation(line)
    ends = list(LINE_END.finditer(text, line_end))
    for count, (start, end) in enumerate(pairwise(ends), 2):
        line = text[start.end() : end.start()]
        closes = line.lstrip()[:1] in (")", "]", "}")
        if count > max_lines or not line.strip() or indentation(line) < base + (not closes):
            break
        if any(True for _ in reader.read(text[start.start() : end.start()])):
            break
        if not reader.openers:
            return end.start()
    else:
        return None
    return line_end


_LONGEST_LINE = 1000
"""Characters of the cursor's line that are read."""
