"""Which files of the workspace a file imports: one small table of what imports look like and where they lead.

No build system is asked: a path is tried in the importing file's folder and in the folders above it, up to the
workspace folder, and counts if there is a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_HEAD = 30_000
"""Characters at a file's beginning that are searched for imports."""

_SIBLINGS = 4
"""Files of an imported folder (a Go package) that are taken."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that is imported, and the names that are taken from it; no names: any may be used."""

    path: Path
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    leads_to: Callable[[re.Match[str]], Iterator[str]]
    """Paths to try, in this order, below the importing file's folder and those above."""


def imported_files(path: Path, language: str, text: str, root: Path) -> list[Imported]:
    """The files below `root` that the file at `path` imports, in the order of the imports."""
    family = _FAMILIES.get(language)
    if family is None or not path.is_relative_to(root):
        return []
    folders = [folder for folder in (path.parent, *path.parent.parents) if folder.is_relative_to(root)]
    found: dict[Path, set[str] | None] = {}
    for rule in _RULES[family]:
        for match in rule.pattern.finditer(text, 0, _HEAD):
            names = _names(match)
            for target in _resolve(rule, match, folders):
                if target == path:
                    continue
                known = found.setdefault(target, set(names))
                found[target] = known | names if known and names else set()
    return [Imported(target, frozenset(names or ())) for target, names in found.items()]


def _resolve(rule: _Rule, match: re.Match[str], folders: list[Path]) -> Iterator[Path]:
    for candidate in rule.leads_to(match):
        relative = candidate.startswith(".")
        for folder in folders[:1] if relative else folders:
            target = Path(_normal(folder / candidate))
            if not target.is_relative_to(folders[-1]):
                continue
            if target.is_file():
                yield target
                return
            if target.is_dir() and target.suffix == "" and rule in _RULES["go"]:
                yield from islice(sorted(target.glob("*.go")), _SIBLINGS)
                return


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts[-1:] = []
        elif part != ".":
            parts.append(part)
    return str(Path(*parts))


def _names(match: re.Match[str]) -> set[str]:
    listed = match.groupdict().get("names") or ""
    return set(re.findall(r"\w+", re.sub(r"\s+as\s+\w+|\btype\s+", "", listed)))


def _python(match: re.Match[str]) -> Iterator[str]:
    module = match["module"]
    dots = len(module) - len(module.lstrip("."))
    base = module.lstrip(".").replace(".", "/")
    start = "./" + "../" * (dots - 1) if dots else ""
    if base:
        yield f"{start}{base}.py"
    for name in sorted(_names(match)):
        yield f"{start}{base}/{name}.py".replace("//", "/")
    yield f"{start}{base}/__init__.py".replace("//", "/")


def _script(match: re.Match[str]) -> Iterator[str]:
    module = match["module"]
    if not module.startswith("."):
        return
    yield module if "." in module.rsplit("/", 1)[-1].lstrip(".") else f"{module}.ts"
    stem = re.sub(r"\.(?:js|mjs|jsx)\Z", "", module)
    for ending in (".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js"):
        yield stem + ending


def _go(match: re.Match[str]) -> Iterator[str]:
    parts = match["module"].split("/")
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def _rust_module(match: re.Match[str]) -> Iterator[str]:
    name = match["module"]
    yield f"./{name}.rs"
    yield f"./{name}/mod.rs"


def _rust_use(match: re.Match[str]) -> Iterator[str]:
    parts = match["module"].split("::")
    for end in range(len(parts), 0, -1):
        stem = "/".join(parts[:end])
        yield from (f"{stem}.rs", f"src/{stem}.rs", f"{stem}/mod.rs", f"src/{stem}/mod.rs")


def _java(match: re.Match[str]) -> Iterator[str]:
    stem = match["module"].replace(".", "/")
    yield from (f"{stem}.java", f"{stem}.kt", f"src/main/java/{stem}.java")


def _include(match: re.Match[str]) -> Iterator[str]:
    yield from (match["module"], f"include/{match['module']}", f"src/{match['module']}")


_RULES: dict[str, list[_Rule]] = {
    "python": [
        _Rule(
            re.compile(
                r"^[ \t]*from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^#\n]*)",
                re.MULTILINE,
            ),
            _python,
        ),
        _Rule(re.compile(r"^[ \t]*import[ \t]+(?P<module>[\w.]+)", re.MULTILINE), _python),
    ],
    "script": [
        _Rule(
            re.compile(
                r"^[ \t]*(?:import|export)\b(?:[^'\"\n{]*\{(?P<names>[^}]*)\})?[^'\"\n]*['\"](?P<module>[^'\"]+)['\"]",
                re.MULTILINE,
            ),
            _script,
        ),
        _Rule(re.compile(r"\b(?:require|import)\(\s*['\"](?P<module>[^'\"]+)['\"]"), _script),
    ],
    "go": [
        _Rule(
            re.compile(r"^(?:import)?[ \t]+(?:[\w.]+[ \t]+)?\"(?P<module>[^\"]+/[^\"]+)\"", re.MULTILINE), _go
        )
    ],
    "rust": [
        _Rule(re.compile(r"^[ \t]*(?:pub[ \t]+)?mod[ \t]+(?P<module>\w+);", re.MULTILINE), _rust_module),
        _Rule(
            re.compile(
                r"^[ \t]*(?:pub[ \t]+)?use[ \t]+(?:crate|super|self)::(?P<module>[\w:]*\w)(?:::\{(?P<names>[^}]*)\})?",
                re.MULTILINE,
            ),
            _rust_use,
        ),
    ],
    "java": [_Rule(re.compile(r"^import[ \t]+(?:static[ \t]+)?(?P<module>[\w.]+)", re.MULTILINE), _java)],
    "c": [_Rule(re.compile(r"^[ \t]*#[ \t]*include[ \t]+\"(?P<module>[^\"]+)\"", re.MULTILINE), _include)],
}

_FAMILIES = {
    "python": "python",
    **dict.fromkeys(
        ("javascript", "javascriptreact", "typescript", "typescriptreact", "jsx", "tsx", "vue", "svelte"),
        "script",
    ),
    "go": "go",
    "rust": "rust",
    **dict.fromkeys(("java", "kotlin"), "java"),
    **dict.fromkeys(("c", "cpp", "c++", "cuda-cpp", "cuda", "objective-c", "objective-cpp", "metal"), "c"),
}
