"""How often the model's greedy rest of the line is the file's own, by form of the prompt."""

from __future__ import annotations

import itertools
import sysconfig
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import flash_lsp
from flash_engine import Engine, Session
from flash_lsp import filters
from flash_lsp.bench.cases import Case, rest_of_line, with_closers_right, with_tail_right
from flash_lsp.completer import Completer
from flash_lsp.prompt import templates
from flash_lsp.prompt.builder import assemble
from flash_lsp.prompt.encoder import BlockEncoder, Encoder
from flash_lsp.prompt.templates import FimTemplate, Order
from flash_lsp.prompt.window import Window
from flash_lsp.suggestion import Suggestion

_MAX_TOKENS = 64
_ANCHORS = (20, 5, 1, 0)

_MOVES = {"closers": with_closers_right, "half of the rest": with_tail_right}

Split = Callable[[Case], Window]


@dataclass(frozen=True, slots=True)
class Form:
    """A way to make a case's prompt."""

    name: str
    template: FimTemplate
    split: Split
    healed: bool


@dataclass(slots=True)
class Row:
    """A line of the table."""

    form: str
    healed: bool
    cases: int = 0
    exact: int = 0

    def count(self, exact: bool) -> None:
        self.cases += 1
        self.exact += exact


class _Unhealed:
    """An encoder that holds nothing back: the model reads half-typed words as they are."""

    def __init__(self, encoder: Encoder) -> None:
        self.encode = encoder.encode

    def hold_back(self, text: str) -> tuple[str, bytes]:
        return text, b""


class _Bench:
    """Greedy answers of one model, the KV cache reused from prompt to prompt."""

    def __init__(self, engine: Engine) -> None:
        self.completer = Completer(engine)
        self.template = self.completer.template
        self._engine = engine
        self._session: Session = engine.session()
        self._healed = BlockEncoder(engine.tokenizer)
        self._unhealed = _Unhealed(self._healed)

    def forms(self) -> list[Form]:
        """The model's own order, and prefix-first too where it is trained on both."""
        forms: list[tuple[str, FimTemplate, Split]] = []
        if self.template.order is not Order.PSM:
            forms.append((self.template.order.name, self.template, at_cursor))
        if psm := self._prefix_first():
            forms += [(f"PSM, anchor {lines} lines above", psm, anchored(lines)) for lines in _ANCHORS]
            forms.append(("PSM, split at the cursor", psm, at_cursor))
        return [Form(*form, healed) for form in forms for healed in (True, False)]

    def answer(self, form: Form, case: Case) -> Suggestion:
        encoder = self._healed if form.healed else self._unhealed
        prompt = assemble(form.template, encoder, case.path, form.split(case))
        work = lambda: self.completer.continue_prompt(  # noqa: E731
            prompt,
            case.prefix,
            session=self._session,
            max_lines=1,
            max_tokens=_MAX_TOKENS,
        )
        return self._engine.submit(work).result()

    def _prefix_first(self) -> FimTemplate | None:
        if self.template.family == "flash-coder":
            return templates.resolve("qwen-coder", self._engine.tokenizer)
        return self.template if self.template.order is Order.PSM else None


def run(engine: Engine, folder: Path, *, count: int = 300, seed: int = 0) -> dict[str, Any]:
    """Cut `count` cases from the sources under `folder` and complete each in every form; a bar shows
    progress.

    Returns {"model", "backend", "cases", "forms", "mid_line"}. forms: exact answers by form of the prompt. mid_line: of
    the cases with text right of the cursor, the answer after the filters compared.
    """
    bench = _Bench(engine)
    cases = rest_of_line(folder, count=count, seed=seed)
    forms = bench.forms()
    rows = [Row(form.name, form.healed) for form in forms]
    mid_line = [_MidLine(kind, move) for kind, move in _MOVES.items()]
    for case in track(cases, "completing", console=Console(stderr=True), transient=True):
        answers = [bench.answer(form, case) for form in forms]
        exact = [answer.text.rstrip() == case.gold for answer in answers]
        for row, right in zip(rows, exact, strict=True):
            row.count(right)
        for each in mid_line:
            each.measure(bench, forms[0], case, answers[0])
    return {
        "model": engine.name,
        "backend": engine.backend.name,
        "cases": len(cases),
        "forms": [asdict(row) for row in rows],
        "mid_line": [asdict(row) for each in mid_line for row in (each.left_out, each.in_suffix)],
    }


def own_sources() -> Path:
    """The project's checkout if this is one, else the installed package."""
    package = Path(flash_lsp.__file__).parent
    return package.parent if (package.parent / "pyproject.toml").exists() else package


def standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def at_cursor(case: Case) -> Window:
    return Window(case.prefix, case.suffix)


def with_rest(case: Case) -> Window:
    """The rest of the cursor's line at the head of the suffix."""
    return Window(case.prefix, case.rest + case.suffix)


def anchored(lines: int) -> Split:
    """The split at the line start `lines` lines above the cursor's line."""

    def split(case: Case) -> Window:
        starts = [0, *itertools.accumulate(len(line) + 1 for line in case.prefix.split("\n")[:-1])]
        anchor = starts[max(len(starts) - 1 - lines, 0)]
        return Window(case.prefix[:anchor], case.suffix, case.prefix[anchor:])

    return split


class _MidLine:
    """Cases with text right of the cursor, of one kind: that text left out of the prompt, or in the suffix."""

    def __init__(self, kind: str, move: Callable[[Case], Case | None]) -> None:
        self._move = move
        self.left_out = Row(f"{kind} right of the cursor, left out", True)
        self.in_suffix = Row(f"{kind} right of the cursor, in the suffix", True)

    def measure(self, bench: _Bench, form: Form, case: Case, answer: Suggestion) -> None:
        """Count `case` if it is of this kind. `answer`: that of `form` to it, the text being left out."""
        moved = self._move(case)
        if moved is None:
            return
        self.left_out.count(_shown(moved, answer.text) == moved.gold)
        text = bench.answer(replace(form, split=with_rest), moved).text
        self.in_suffix.count(_shown(moved, text) == moved.gold)


def _shown(case: Case, text: str) -> str:
    return filters.apply("", case.prefix, case.rest + case.suffix, text, 0.0).text
