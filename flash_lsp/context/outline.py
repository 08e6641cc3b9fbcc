"""What of a file is worth reading from outside: the heads of its definitions, without their bodies."""

from __future__ import annotations

import re

_LINES = 12
"""Lines that a head may take until its brackets close."""

_WHOLE = 1_200
"""Characters up to which a file needs no outline."""

_FUNCTION = re.compile(r"\b(?:def|fn|func|function)\b")

_PYTHON = (
    r"[ \t]*(?:(?:async[ ]+)?def[ ]+(?!_[^_])|class[ ]+(?!_))\w+"
    r"|[ \t]*@(?:property|\w*classmethod|staticmethod|dataclass)\b"
    r"|[A-Z][A-Z0-9_]+[ ]*[:=]|[ \t]+\w+[ ]*:[ ]*[A-Za-z]"
)
_SCRIPT = (
    r"[ \t]*(?:export[ ]+)?(?:default[ ]+)?(?:declare[ ]+)?(?:abstract[ ]+)?(?:async[ ]+)?"
    r"(?:function\*?|class|interface|type|enum|namespace)[ ]+\w+|export[ ]+(?:const|let)[ ]+\w+"
    r"|[ \t]+(?!if\b|for\b|while\b|switch\b|return\b|catch\b)(?:(?:public|static|async|get|set|readonly)[ ]+)*"
    r"\w+\([^)\n]*\)[^;\n]*\{[ \t]*$|[ \t]+(?:readonly[ ]+)?\w+\??:[ ].*;$"
)
_GO = r"func\b|type\b|const\b|var\b"
_RUST = (
    r"[ \t]*(?:pub(?:\([^)\n]*\))?[ ]+)?(?:(?:async|unsafe|const|extern)[ ]+)*"
    r"(?:fn|struct|enum|trait|impl|type|static|const)\b|[ \t]+pub[ ]+\w+:[ ]"
)
_JAVA = r"[ \t]*(?:(?:public|protected|abstract|static|final|default)[ ]+)+[\w<>\[\], .?]+[({ ]"
_C = (
    r"[ \t]*(?:typedef|struct|class|enum|union|template|namespace)\b|#[ ]*define[ ]+\w+"
    r"|[ \t]*(?!return\b|else\b|if\b|for\b)[A-Za-z_][\w:<>,*& ]*[*& ]~?\w[\w:]*"
    r"\([^;\n]*[;{,)(][ \t]*(?:const)?[ \t]*\{?;?$"
)

_HEADS = {
    name: re.compile(pattern, re.MULTILINE)
    for pattern, names in (
        (_PYTHON, ("python",)),
        (
            _SCRIPT,
            ("javascript", "javascriptreact", "typescript", "typescriptreact", "jsx", "tsx", "vue", "svelte"),
        ),
        (_GO, ("go",)),
        (_RUST, ("rust",)),
        (_JAVA, ("java", "kotlin", "csharp")),
        (_C, ("c", "cpp", "c++", "cuda", "cuda-cpp", "objective-c", "objective-cpp", "metal")),
    )
    for name in names
}


def outline(text: str, language: str, names: frozenset[str] = frozenset()) -> str:
    """The heads of the definitions in `text`, those of `names` (with their members) alone if there are any of them.

    A short text is returned whole, and so is the beginning of one in a language without a rule.
    """
    head = _HEADS.get(language)
    if head is None or (len(text) <= _WHOLE and not names):
        return text[:_WHOLE]
    lines = text.split("\n")
    heads: list[tuple[int, str]] = []
    functions: list[int] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        indent = _indent(line)
        if not head.match(line):
            number += 1
            continue
        taken = _head(lines, number)
        number += len(taken)
        functions = [each for each in functions if each < indent]
        if not functions:
            heads.append((indent, "\n".join(taken)))
        if _FUNCTION.search(line):
            functions.append(indent)
    chosen = _of_names(heads, names) if names else []
    return "".join(f"{line}\n" for _, line in chosen or heads)


def _head(lines: list[str], start: int) -> list[str]:
    """The lines of a definition's head: up to where its round brackets close."""
    depth = 0
    for end in range(start, min(start + _LINES, len(lines))):
        depth += lines[end].count("(") - lines[end].count(")")
        if depth <= 0:
            return lines[start : end + 1]
    return lines[start : start + 1]


def _of_names(heads: list[tuple[int, str]], names: frozenset[str]) -> list[tuple[int, str]]:
    """The heads that define one of `names`, and what is indented below them."""
    wanted = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
    chosen: list[tuple[int, str]] = []
    inside: int | None = None
    for indent, line in heads:
        if inside is not None and indent > inside:
            chosen.append((indent, line))
            continue
        inside = None
        if wanted.search(line.split("(", 1)[0].split("=", 1)[0].split(":", 1)[0]):
            inside = indent
            chosen.append((indent, line))
    return chosen


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
