"""Where a suggestion is complete: the end of its line, or of the block that it continues, by indentation."""

from __future__ import annotations

from flash_lsp.text import LINE_END

_TAB = 8
_MAX_BLANK_START = 2
"""Line ends that may come before a suggestion's first visible character."""


def indentation(line: str) -> int:
    """Columns of leading white space, tabs to multiples of 8."""
    expanded = line.expandtabs(_TAB)
    return len(expanded) - len(expanded.lstrip())


def block_end(prefix: str, text: str, max_lines: int) -> int | None:
    """Offset in `text`, a suggestion at the end of `prefix`, at which it is complete; None if it may go on.

    A line is complete at its line end. With `max_lines` > 1 a block ends before a blank line, before a line
    less indented than the one it started on and, if it continues a line with text, before the next line as
    little indented as that one; a closing bracket may stand on such a line, and ends the block if it is less
    indented. Leading line ends do not count: after a finished line a suggestion may well begin on the next.
    """
    starts = [0, *(end.end() for end in LINE_END.finditer(text))]
    ends = [*(end.start() for end in LINE_END.finditer(text)), len(text)]
    current = prefix[max(prefix.rfind("\n"), prefix.rfind("\r")) + 1 :]
    base = indentation(current + "x")
    continues = bool(current.strip())
    content = 0
    last = 0
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        line = text[start:end]
        whole = number + 1 < len(starts)
        if not line.strip():
            if whole and (content or number >= _MAX_BLANK_START):
                return last
            continue
        if number:
            width = indentation(line)
            closes = line.lstrip()[0] in ")]}"
            if not content:
                base, continues = min(base, width), True
            elif not closes and (width < base or (continues and width == base)):
                return last
            elif closes and width < base:
                return end if whole else None
        content += 1
        last = end
        if whole and content >= max_lines:
            return last
    return None
