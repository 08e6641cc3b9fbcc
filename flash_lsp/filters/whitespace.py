"""White space at the end of a suggestion is noise; a suggestion of nothing else is none."""

from __future__ import annotations

from flash_lsp.filters.candidate import Candidate, Silence


def trim(candidate: Candidate) -> str | Silence:
    return candidate.text.rstrip() or Silence.BLANK
