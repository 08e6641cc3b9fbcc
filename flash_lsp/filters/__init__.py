"""Filters cut a suggestion or silence it. Each is a pure function from a candidate to the text that is
left of it, or to the reason why nothing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from flash_lsp.filters.brackets import cut_unbalanced
from flash_lsp.filters.candidate import Candidate, Silence
from flash_lsp.filters.confidence import GATES, MIN_LOGPROB, require_confidence
from flash_lsp.filters.repetition import reject_repetition
from flash_lsp.filters.scope import cut_at_scope_end
from flash_lsp.filters.suffix import cut_repeated_suffix
from flash_lsp.filters.whitespace import trim

__all__ = ["GATES", "MIN_LOGPROB", "Candidate", "Filtered", "Silence", "apply"]


@dataclass(frozen=True, slots=True)
class Filtered:
    """What may be shown: `text`, or nothing and the reason."""

    text: str
    silence: Silence | None


def apply(
    language: str,
    prefix: str,
    suffix: str,
    text: str,
    logprob: float,
    *,
    min_logprob: float = MIN_LOGPROB,
    likely: str = "",
) -> Filtered:
    """Run all filters over the model's `text` for the place between `prefix` and `suffix`.

    language: LSP language id. prefix, suffix: the file's text before and after the cursor. logprob: natural
    log-probability of the text's least likely line; below `min_logprob` no more than `likely`, its beginning, is shown.
    """
    filters: tuple[Callable[[Candidate], str | Silence], ...] = (
        trim,
        lambda candidate: require_confidence(candidate, min_logprob),
        reject_repetition,
        cut_at_scope_end,
        cut_repeated_suffix,
        cut_unbalanced,
    )
    candidate = Candidate(language, prefix, suffix, text, logprob, likely)
    for each in filters:
        result = each(candidate)
        if isinstance(result, Silence):
            return Filtered("", result)
        candidate = replace(candidate, text=result)
    return Filtered(candidate.text, None)
