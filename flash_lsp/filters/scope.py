"""A suggestion stays in the block it began in."""

from __future__ import annotations

import sys

from flash_lsp.filters.block import block_end
from flash_lsp.filters.candidate import Candidate, Silence


def cut_at_scope_end(candidate: Candidate) -> str | Silence:
    """Cut where `block_end` says that the block ends, however many lines there are."""
    kept = candidate.text[: block_end(candidate.prefix, candidate.text, sys.maxsize)]
    return kept if kept.strip() else Silence.WRONG_SCOPE
