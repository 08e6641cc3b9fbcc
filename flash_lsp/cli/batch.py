"""`flash-lsp complete --batch`: many cases through one loaded model, JSON lines in and out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flash_lsp.cli.errors import InputError

_FIELDS = ("path", "prefix", "suffix")


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a batch; `labels` are passed on to its answer."""

    path: str
    prefix: str
    suffix: str
    labels: dict[str, Any]

    @classmethod
    def parse(cls, line: str, where: str) -> Case:
        """Parse one JSON object; raises InputError that begins with `where`."""
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object with {', '.join(_FIELDS)}")
        for name in _FIELDS:
            if not isinstance(value.get(name), str):
                raise InputError(f"{where}: {name!r} must be a string")
        labels = {"id": value["id"]} if "id" in value else {}
        return cls(value["path"], value["prefix"], value["suffix"], labels)


def read_cases(path: Path) -> list[Case]:
    """All cases of a JSON lines file, blank lines passed over. Raises InputError that names file and line."""
    from flash_lsp.cli.location import read_source

    # JSON escapes line ends inside strings but not U+2028 and the like, so `splitlines` would cut too often.
    lines = enumerate(read_source(path).split("\n"), start=1)
    return [Case.parse(line, f"{path}, line {number}") for number, line in lines if line.strip()]


def complete_batch(
    path: Path,
    engine_options: dict[str, Any],
    *,
    max_lines: int | None,
    max_tokens: int,
    deadline_ms: int | None,
) -> None:
    """Answer every case of the file on stdout, in order, with progress on stderr."""
    cases = read_cases(path)

    from rich.console import Console
    from rich.progress import track

    from flash_lsp.cli.engine import completer_of, load_engine
    from flash_lsp.suggestion import Suggestion

    with load_engine(engine_options) as engine:
        completer = completer_of(engine)
        session = engine.session()

        def answer(case: Case) -> Suggestion:
            return completer.complete(
                case.path,
                case.prefix,
                case.suffix,
                session=session,
                max_lines=max_lines or 1,
                max_tokens=max_tokens,
                deadline=None if deadline_ms is None else time.monotonic() + deadline_ms / 1000,
            )

        for case in track(cases, "completing", console=Console(stderr=True)):
            suggestion = engine.submit(partial(answer, case)).result()
            reply = {
                **case.labels,
                "text": suggestion.text,
                "finish": suggestion.finish,
                "ms": round(suggestion.total_ms, 3),
                "tokens": suggestion.tokens,
            }
            print(json.dumps(reply), flush=True)
