"""The real server with a scripted model: `python scripted_server.py [--token-ms N] [--load-ms N] [--fail] ...`.

The model completes the cursor's line to a line of SCRIPT that begins with it, and says nothing elsewhere. With
`--silent-until FILE` it says nothing at all before that file exists.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from flash_engine import ModelError
from flash_engine.worker import Worker
from flash_lsp.decoder import ModelDecoder
from flash_lsp.server import create_server, run
from flash_lsp.suggestion import Suggestion

SCRIPT = (
    "total = compute(first, second)",
    "grüße = '👋🏽 wörld' + name",
    "def area(width, height):",
    "    return width * height",
    "boom = 1",
)


class ScriptedEngine:
    name = "scripted"
    backend = SimpleNamespace(name="script")
    plan = None
    speculation = None

    def __init__(self) -> None:
        self._worker = Worker("scripted")

    def session(self) -> SimpleNamespace:
        return SimpleNamespace(computed=0, reused=0)

    def submit(self, work: Callable[[], Any], *, urgent: bool = True) -> Any:
        return self._worker.submit(work, urgent=urgent)

    def close(self) -> None:
        self._worker.close()


class ScriptedCompleter:
    def __init__(self, token_seconds: float, silent_until: Path | None, warning: str | None) -> None:
        self.template = SimpleNamespace(warning=warning)
        self._token_seconds = token_seconds
        self._silent_until = silent_until

    def alternatives(self, first: Suggestion, *place: str, **limits: Any) -> list[Suggestion]:
        return [replace(first, text=f"{first.text[:1]}{number}") for number in range(2) if first.text]

    def complete(
        self,
        path: str,
        prefix: str,
        suffix: str,
        *,
        session: SimpleNamespace,
        cancel: Event,
        progress: Callable[[str], None],
        **limits: Any,
    ) -> Suggestion:
        print("a stray print must not reach the client")
        while self._silent_until and not self._silent_until.exists() and not cancel.wait(0.01):
            pass
        line = re.split(r"[\r\n]", prefix)[-1]
        if line == "boom = ":
            raise RuntimeError("the script says so")
        whole = next((each for each in SCRIPT if line.strip() and each.startswith(line)), line)
        tokens = re.findall(r"\w+|\W", whole[len(line) :])
        text, finish = "", "line"
        for token in tokens:
            if cancel.wait(self._token_seconds):
                finish = "cancelled"
                break
            text += token
            session.computed += 1
            progress(text)
        return Suggestion(
            text=text, finish=finish, tokens=len(tokens), logprob=-0.1, first_ms=0.0, total_ms=0.0,
            reused=0, computed=len(tokens), silence=None,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--token-ms", type=float, default=0.0)
    parser.add_argument("--load-ms", type=float, default=0.0)
    parser.add_argument("--silent-until", type=Path)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--tcp", type=int)
    options = parser.parse_args()

    def load(settings: Any, loop: Any, report: Callable[[str, float], None]) -> ModelDecoder:
        report("reading", 0.0)
        time.sleep(options.load_ms / 1000)
        report("reading", 0.5)
        if options.fail:
            raise ModelError(f"{settings.model}: no such model")
        engine: Any = ScriptedEngine()
        warning = "no format is known" if settings.template == "plain" else None
        completer: Any = ScriptedCompleter(options.token_ms / 1000, options.silent_until, warning)
        return ModelDecoder(engine, completer, loop)

    run(create_server(load=load), ("127.0.0.1", options.tcp) if options.tcp else None)


if __name__ == "__main__":
    sys.exit(main())
