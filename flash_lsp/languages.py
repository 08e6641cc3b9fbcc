"""What is known of languages: comments, quotes, and where a block begins. One small table; anything else is read by
its indentation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


def _at_line_end(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})\s*\Z")


@dataclass(frozen=True, slots=True)
class Language:
    """The lexical rules of a language, as far as suggestions need them."""

    line_comment: str = "//"
    block_comments: bool = True
    """Whether `/*` begins a comment."""
    character_literals: bool = False
    """Single quotes hold one character; a lone one is something else (a Rust lifetime)."""
    opens_block: re.Pattern[str] = field(
        default=_at_line_end(r"[:({\[]|=>|->|\b(?:then|do|else|begin)"), repr=False
    )
    """Matches the end of a line below which a block begins."""
    brackets: str = "(["
    """Opening brackets within which a statement goes on over its line's end."""


_OTHER = Language()
_HASH = Language(line_comment="#", block_comments=False)
_C = Language(
    character_literals=True,
    opens_block=_at_line_end(r"[({\[]|\b(?:case\b.*|default|public|private|protected)\s*:"),
)
_SCRIPT = Language(opens_block=_at_line_end(r"[({\[]|=>|\b(?:case\b.*|default)\s*:"))

_TABLE = {
    "python": Language(
        line_comment="#", block_comments=False, opens_block=_at_line_end(r"[:({\[]"), brackets="([{"
    ),
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
    "go": Language(
        character_literals=True, opens_block=_at_line_end(r"[({\[]|\b(?:case\b.*|default)\s*:")
    ),
    "rust": Language(character_literals=True, opens_block=_at_line_end(r"[({\[]|=>")),
    "java": Language(character_literals=True, opens_block=_at_line_end(r"[({\[]|->|\b(?:case\b.*|default)\s*:")),
    "c": _C,
    "cpp": _C,
    "csharp": _C,
    "kotlin": Language(character_literals=True),
    "scala": Language(character_literals=True),
    "swift": Language(character_literals=True),
    **dict.fromkeys(
        ("shellscript", "ruby", "perl", "r", "yaml", "toml", "makefile", "dockerfile", "cmake"), _HASH
    ),
}  # fmt: skip


def language(identifier: str) -> Language:
    """The rules of an LSP language id."""
    return _TABLE.get(identifier, _OTHER)
