"""Passes over Metal text: comments, literals, threadgroup variables, includes, signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

SHIM = Path(__file__).parent / "shim"
_MLX_KERNELS = Path(mx.__file__).parent / "include/mlx/backend/metal/kernels"


def strip_comments(text: str) -> str:
    """Blank out comments, keep every newline."""
    return re.sub(
        r"//[^\n]*|/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n") or " ", text, flags=re.DOTALL
    )


_LITERAL = re.compile(r"(?<![\w.])((?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)(?![\w.])")


def float_literals(text: str) -> str:
    """MSL has no double: `1.0` is a float there. Say so in C++ too."""
    return _LITERAL.sub(r"\1f", text)


_THREADGROUP = re.compile(
    r"(?P<before>[;{}]\s*|^\s*)threadgroup\s+(?P<type>[\w:<>, ]+?)\s+(?P<name>\w+)\s*"
    r"(?P<dims>(?:\[[^\]]*\]\s*)*)(?P<rest>[;=,])",
    flags=re.MULTILINE,
)


def threadgroup_variables(text: str) -> str:
    """`threadgroup T name[N];` as a statement becomes MSL_TG_DECL(name, T[N]), a macro of the shims.

    Everywhere else `threadgroup` qualifies a pointer or reference. Raises SyntaxError for two variables in one
    declaration or an initializer.
    """

    def rewrite(m: re.Match[str]) -> str:
        if m["rest"] != ";":
            raise SyntaxError(
                f"threadgroup variables: one to a declaration, no initializer: {m[0].strip()!r}"
            )
        dims = re.sub(r"\s+", "", m["dims"])
        return f"{m['before']}MSL_TG_DECL({m['name']}, {m['type']}{dims});"

    return _THREADGROUP.sub(rewrite, text)


def preamble(shim: str) -> str:
    """MLX's Metal preamble (utils.h, includes in place), with the stand-ins of shim/`shim` ("host" or "lint")."""
    seen: set[str] = set()

    def flatten(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        override = SHIM / shim / name
        raw = (override if override.exists() else _MLX_KERNELS / name).read_text()
        body = float_literals(strip_comments(raw)).replace("#pragma once", "")
        body = re.sub(r"^\s*#\s*include\s+<metal_[^\n]*\n", "", body, flags=re.MULTILINE)
        return re.sub(
            r'^\s*#\s*include\s+"[^"\n]*?([\w.]+)"[^\n]*\n', lambda m: flatten(m[1]), body, flags=re.MULTILINE
        )

    return f'#include "metal_{shim}.h"\nusing namespace metal;\n' + flatten("utils.h")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a Metal function."""

    kind: str
    """"buffer" or "attribute"."""
    type: str
    """Without address space, const, * or &."""
    const: bool
    ref: str
    """"*", "&" or ""."""
    name: str
    space: str
    index: int
    """Of the buffer; -1 for an attribute."""
    attribute: str


_SIGNATURE = re.compile(
    r"(?:template\s*<(?P<template>[^{};]*?)>\s*)?\[\[\s*kernel\s*\]\]\s*void\s+(?P<name>\w+)\s*\("
)


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for i, c in enumerate(text):
        depth += {"(": 1, "[": 1, "<": 1, ")": -1, "]": -1, ">": -1}.get(c, 0)
        if c == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    yield text[start:]


def _parameter(text: str, index: int) -> Parameter:
    attribute = re.search(r"\[\[(.*)\]\]", text, re.DOTALL)
    name = attribute[1].strip() if attribute else f"buffer({index})"
    declaration = text[: attribute.start()] if attribute else text
    space = re.search(r"\b(device|constant|threadgroup|thread)\b", declaration)
    buffer = re.match(r"buffer\((\d+)\)", name)
    words = re.sub(r"\b(const|device|constant|threadgroup|thread)\b|[*&]", " ", declaration).split()
    return Parameter(
        kind="buffer" if buffer else "attribute",
        type=" ".join(words[:-1]),
        const=bool(re.search(r"\bconst\b", declaration)),
        ref="*" if "*" in declaration else "&" if "&" in declaration else "",
        name=words[-1],
        space=space[0] if space else "",
        index=int(buffer[1]) if buffer else -1,
        attribute="" if buffer else name,
    )


def signature_start(text: str) -> int:
    """Where the kernel function of `text` starts."""
    found = _SIGNATURE.search(text)
    return found.start() if found else len(text)


def parse_signature(text: str, name: str) -> tuple[list[tuple[str, str]], list[Parameter]]:
    """Template parameters (kind, name) and parameters of the kernel `name`. Raises KeyError if it isn't there."""
    for m in _SIGNATURE.finditer(text):
        if m["name"] != name:
            continue
        depth, end = 1, m.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        parameters: list[Parameter] = []
        for part in _split(text[m.end() : end - 1]):
            parameters.append(_parameter(part, sum(p.kind == "buffer" for p in parameters)))
        declared = [p.split("=")[0].split() for p in (m["template"] or "").split(",") if p.strip()]
        return [(d[-2], d[-1]) for d in declared], parameters
    raise KeyError(name)


def explicit_arguments(text: str, name: str) -> str:
    """`<half, 4, 1>` from MLX's explicit instantiation, or ''."""
    m = re.search(r"decltype\(" + re.escape(name) + r"(<.*?>)\)", text)
    return m[1] if m else ""


def strip_instantiations(text: str) -> str:
    """Without the explicit instantiation that names the function for Metal's library."""
    return re.sub(r"^template \[\[host_name\(.*?;\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
