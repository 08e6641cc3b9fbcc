"""A suggestion stays in the block it began in."""

from __future__ import annotations

import sys

from flash_lsp.filters.block import block_end, indentation
from flash_lsp.filters.candidate import Candidate, Silence


def cut_at_scope_end(candidate: Candidate) -> str | Silence:
    """Cut where `block_end` says that the block ends, however many lines there are. A suggestion that would indent a
    line more, which stands deeper already than the one above, begins in no block that there is."""
    if candidate.text[0] in " \t" and _is_indented(candidate):
        return Silence.WRONG_SCOPE
    kept = candidate.text[: block_end(candidate.prefix, candidate.text, sys.maxsize)]
    return kept if kept.strip() else Silence.WRONG_SCOPE


def _is_indented(candidate: Candidate) -> bool:
    """Whether the cursor is on a blank line that stands deeper than the last line with text above it."""
    if candidate.line_before.strip():
        return False
    above = candidate.prefix.rstrip()
    line = above[max(above.rfind("\n"), above.rfind("\r")) + 1 :]
    return indentation(candidate.line_before + "x") > indentation(line + "x" * (not line))
