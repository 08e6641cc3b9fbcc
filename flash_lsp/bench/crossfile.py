"""How much the context from other files helps, on cases that need it: uses of what another file defines."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from flash_engine import Engine
from flash_lsp.bench.cases import Case, source_files
from flash_lsp.bench.editor import language_id
from flash_lsp.completer import Completer
from flash_lsp.context.imports import imported_files
from flash_lsp.context.outline import outline
from flash_lsp.context.plan import fitting
from flash_lsp.prompt.builder import assemble, context_tokens
from flash_lsp.prompt.encoder import BlockEncoder
from flash_lsp.prompt.window import ContextBlock, Window

_PREFIX = 1_500
_SUFFIX = 600
_MAX_TOKENS = 64
_WORD = re.compile(r"\w+")
_CALL = re.compile(r"(?<=[\w)\]]\.)(?P<name>\w+)(?P<open>\()|(?<![\w.])(?P<function>\w+)(?P<bracket>\()")


@dataclass(frozen=True, slots=True)
class Need:
    """A case whose gold text uses `name`, which one of `imports` defines and the prompt's window has not."""

    case: Case
    name: str
    imports: tuple[tuple[Path, frozenset[str]], ...]


@dataclass(slots=True)
class Row:
    """A line of the table."""

    context: str
    cases: int = 0
    exact: int = 0
    """The rest of the line is the file's own."""
    first_word: int = 0
    """The first word is: the name that is called, or the first argument."""
    tokens: int = 0
    """Of the contexts, all cases together."""


Form = Callable[[Need], Sequence[ContextBlock]]


def run(engine: Engine, folder: Path, *, count: int, seed: int, budget: int) -> dict[str, Any]:
    """Complete `count` cases from the sources under `folder` with and without context of at most `budget` tokens; a bar
    shows progress.

    Returns {"model", "backend", "cases", "budget", "rows"}.
    """
    completer = Completer(engine)
    encoder = BlockEncoder(engine.tokenizer)
    session = engine.session()
    needs = find(folder, count=count, seed=seed)

    def cut(blocks: Sequence[ContextBlock]) -> list[ContextBlock]:
        return fitting(blocks, budget, lambda each: len(context_tokens(completer.template, encoder, each)))

    forms: dict[str, Form] = {
        "none": lambda need: (),
        "outlines of imported files": lambda need: cut(_blocks(folder, need, whole=False)),
        "beginnings of imported files": lambda need: cut(_blocks(folder, need, whole=True)),
        "another file's outline": lambda need: cut(
            _blocks(folder, needs[(needs.index(need) + 7) % len(needs)], whole=False)
        ),
    }
    complete = partial(completer.continue_prompt, session=session, max_lines=1, max_tokens=_MAX_TOKENS)
    rows = [Row(name) for name in forms]
    for need in track(needs, "completing", console=Console(stderr=True), transient=True):
        case = need.case
        for row, form in zip(rows, forms.values(), strict=True):
            blocks = form(need)
            prompt = assemble(
                completer.template, encoder, case.path, Window(case.prefix, case.suffix), context=blocks
            )
            text = engine.submit(partial(complete, prompt, case.prefix)).result().text.rstrip()
            row.cases += 1
            row.exact += text == case.gold
            row.first_word += _first_word(text) == _first_word(case.gold)
            row.tokens += len(context_tokens(completer.template, encoder, blocks))
    return {
        "model": engine.name,
        "backend": engine.backend.name,
        "cases": len(needs),
        "budget": budget,
        "rows": [asdict(row) for row in rows],
    }


def find(folder: Path, *, count: int, seed: int) -> list[Need]:
    """`count` cases, or as many as there are, spread over the sources under `folder`.

    Half of the cursors stand before a method's name, behind the dot, the others behind the bracket that opens a
    function's arguments. The name is defined in an imported file, and the window around the cursor does not have it.
    """
    texts = dict(source_files(folder))
    needs = [need for name, text in texts.items() for need in _needs(folder, name, text)]
    random.Random(seed).shuffle(needs)
    kinds = [[need for need in needs if need.case.prefix.endswith(end)] for end in (".", "(")]
    half = count // 2
    return kinds[0][: max(half, count - len(kinds[1]))] + kinds[1][: max(count - half, count - len(kinds[0]))]


def _needs(folder: Path, name: str, text: str) -> Iterator[Need]:
    path = folder / name
    language = language_id(path)
    imports = imported_files(path, language, text, folder)
    if not imports:
        return
    defined = {
        word
        for each in imports
        for word in re.findall(
            r"(?:def|function|func|fn|class) (\w+)", each.path.read_text(encoding="utf-8", errors="replace")
        )
        if len(word) > 3 and not word.startswith("_")
    }
    for match in _CALL.finditer(text):
        word = match["name"] or match["function"]
        if word not in defined:
            continue
        cut = match.start() if match["name"] else match.end()
        line_end = text.find("\n", cut)
        gold = text[cut : line_end if line_end >= 0 else len(text)].rstrip()
        prefix = text[max(cut - _PREFIX, 0) : cut]
        prefix = prefix if cut <= _PREFIX else prefix[prefix.find("\n") + 1 :]
        suffix = text[line_end : line_end + _SUFFIX] if line_end >= 0 else ""
        suffix = suffix[: suffix.rfind("\n") + 1]
        known = prefix if match["name"] else prefix[: match.start() - cut]
        if len(gold) >= 4 and not re.search(rf"\b{word}\b(?!,|\s*$)", known + suffix, re.MULTILINE):
            case = Case(name, prefix, suffix, gold)
            yield Need(case, word, tuple((each.path, each.names) for each in imports))


def _blocks(folder: Path, need: Need, *, whole: bool) -> list[ContextBlock]:
    blocks = []
    for path, names in need.imports:
        text = path.read_text(encoding="utf-8", errors="replace")
        shown = text[:_PREFIX] if whole else outline(text, language_id(path), names)
        blocks.append(ContextBlock(path.relative_to(folder).as_posix(), shown))
    return blocks


def _first_word(text: str) -> str:
    match = _WORD.search(text)
    return match[0] if match else ""
