"""The bundled models on a GPU: the same tokens from every path, and how fast.

    python -m flash_lsp.bench.gpu.bundled expect FILE     what the native backend chooses, on a machine that has it
    python -m flash_lsp.bench.gpu.bundled check FILE      on a machine with a GPU

Fused launches, one token at a time, decoded by the GPU alone and speculatively must give the same tokens. Against the
other backends: the same token unless the reference's best two are closer than the measured error of the logits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flash_engine import Checkpoint, Session, Tokenizer, bundled
from flash_engine.backend import Backend
from flash_engine.pace import Pace
from flash_engine.speculation import Controller, DraftCosts, Lookup, ModelDrafter, PassCosts, Speculator

CAPACITY = 2048
TOKENS = 48
_TEXTS = (
    "def fibonacci(n: int) -> int:\n    ",
    "import os\nimport sys\n\n\ndef main() -> None:\n    for name in sys.argv[1:]:\n        with open(name) as file:\n",
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        ",
    "#include <stdio.h>\n\nint main(int argc, char **argv) {\n    for (int i = 0; i < argc; i++) {\n        ",
    "function debounce(callback, delay) {\n  let timer = null;\n  return (...args) => {\n    ",
    'package main\n\nimport "fmt"\n\nfunc sum(values []int) int {\n\ttotal := 0\n\t',
    "SELECT name, count(*) FROM users WHERE ",
    "fn parse(input: &str) -> Result<u32, ParseError> {\n    ",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt, the reference's greedy tokens behind it, and at each of them its two best ids and logits."""

    prompt: list[int]
    tokens: list[int]
    best: list[list[int]]
    logits: list[list[float]]


def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Beginnings of files in several languages, in the model's prompt without a suffix."""
    order = [tokenizer.special(f"<|fim_{name}|>") for name in ("prefix", "suffix", "middle")]
    controls = [token for token in order if token is not None]
    return [[*controls, *tokenizer.encode(text)] for text in _TEXTS]


def expect(backend: Backend, prompt: Sequence[int], count: int = TOKENS) -> Case:
    """The greedy tokens of a backend."""
    cache, given = backend.new_cache(), list(prompt)
    tokens, best, logits = [], [], []
    for _ in range(count):
        row = backend.forward(given, cache, logits=1)[0]
        order = np.argsort(-row, kind="stable")[:2]
        best.append(order.tolist())
        logits.append(row[order].tolist())
        tokens.append(int(order[0]))
        given = [tokens[-1]]
    return Case(list(prompt), tokens, best, logits)


def compare(backend: Backend, case: Case, cut: int = 8) -> dict[str, Any]:
    """What `backend` chooses after the same tokens, read in passes of `cut`: how many choices differ, the error of the
    logits, and whether each difference is a tie within it."""
    cache, given = backend.new_cache(), [*case.prompt, *case.tokens[:-1]]
    rows = np.concatenate([backend.forward(part, cache, logits=len(part)) for part in _parts(given, cut)])[
        len(case.prompt) - 1 :
    ]
    errors = np.abs(np.take_along_axis(rows, np.array(case.best), axis=1) - np.array(case.logits))
    wrong = np.flatnonzero(rows.argmax(-1) != case.tokens)
    gaps = [case.logits[place][0] - case.logits[place][1] for place in wrong]
    error = float(errors.max())
    return {
        "tokens": len(case.tokens),
        "different": len(wrong),
        "logit_error": error,
        "gaps": gaps,
        "within_the_rule": all(gap <= error for gap in gaps),
    }


def paths(main: Backend, draft: Backend, tokenizer: Tokenizer, prompt: Sequence[int]) -> dict[str, list[int]]:
    """The greedy tokens of each path of a backend: by forwards, decoded by the GPU where the backend can, and
    speculatively."""
    found = {"plain": expect(main, prompt).tokens}
    decode = getattr(main, "greedy", None)
    if decode is not None:
        found["on the device"] = [
            token for token, _ in decode(prompt, main.new_cache(), TOKENS, vocabulary=main.config.vocab_size)
        ]
    lavish = Controller(PassCosts([1e-3] * 8), DraftCosts(1e-6, 1e-6))
    drafter = ModelDrafter(draft, Lookup(PassCosts([1e-3] * 8)))
    session = Session(main, tokenizer, Pace(), Speculator(lavish, drafter, None))
    session.sync(prompt)
    found["speculative"] = [token.id for token in session.generate(max_tokens=TOKENS)]
    found["plain by session"] = [
        token.id for token in _plain(main, tokenizer, prompt).generate(max_tokens=TOKENS)
    ]
    return found


def agree(found: dict[str, list[int]]) -> bool:
    """Whether all paths gave the same; a session stops at the end of the text, where forwards go on."""
    return all(tokens == found["plain"][: len(tokens)] for tokens in found.values()) and (
        found["speculative"] == found["plain by session"]
    )


def speed(main: Backend, prompt: Sequence[int], *, steps: int = 256) -> dict[str, float]:
    """Tokens a second by forwards and by the GPU alone, and milliseconds from a typed token to the next one."""
    found = {}
    cache = main.new_cache()
    main.forward(prompt, cache, logits=1)
    found["keystroke_ms"] = 1e3 * _median(lambda: main.forward([5], cache, logits=1).argmax(), 40)
    cache.trim(len(prompt))
    found["eight_tokens_ms"] = 1e3 * _median(lambda: main.forward([5] * 8, cache, logits=1).argmax(), 40)
    cache.trim(len(prompt))
    found["tokens_s_by_forwards"] = 1 / _median(lambda: main.forward([5], cache, logits=1).argmax(), 100)
    decode = getattr(main, "greedy", None)
    if decode is not None:
        cache.trim(len(prompt))
        decode([5], cache, 16, vocabulary=main.config.vocab_size)
        begin = time.perf_counter()
        decode([5], cache, steps, vocabulary=main.config.vocab_size)
        found["tokens_s"] = steps / (time.perf_counter() - begin)
    return found


def _plain(main: Backend, tokenizer: Tokenizer, prompt: Sequence[int]) -> Session:
    session = Session(main, tokenizer, Pace())
    session.sync(prompt)
    return session


def _median(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def _parts(tokens: list[int], size: int) -> list[list[int]]:
    return [tokens[start : start + size] for start in range(0, len(tokens), size)]


def _expect(file: Path) -> None:
    from flash_engine.backends.native import NativeBackend

    native = NativeBackend.load(Checkpoint(bundled.locate(bundled.MAIN)), capacity=CAPACITY)
    tokenizer = Tokenizer.from_folder(bundled.locate(bundled.MAIN))
    cases = [expect(native, prompt) for prompt in prompts(tokenizer)]
    content = [
        {"prompt": case.prompt, "tokens": case.tokens, "best": case.best, "logits": case.logits}
        for case in cases
    ]
    file.write_text(json.dumps({"backend": native.name, "cases": content}) + "\n")


def _check(file: Path, *, plain_mlx: bool) -> bool:
    """Prints a line of JSON for each finding; whether all is as it must be."""
    from flash_engine.backends.fused import FusedBackend
    from flash_engine.backends.mlx import MlxBackend

    folder = bundled.locate(bundled.MAIN)
    checkpoint, tokenizer = Checkpoint(folder), Tokenizer.from_folder(folder)
    main = FusedBackend.load(checkpoint, capacity=CAPACITY)
    draft = FusedBackend.load(Checkpoint(bundled.locate(bundled.DRAFT)), capacity=CAPACITY)
    cases = [Case(**each) for each in json.loads(file.read_text())["cases"]]
    right = True
    for case in cases:
        found = paths(main, draft, tokenizer, case.prompt)
        right &= agree(found)
        _say("paths", {"agree": agree(found)} | {name: tokens[:6] for name, tokens in found.items()})
    _say("speed", speed(main, [5] * 512))
    backends: dict[str, Backend] = {"fused": main}
    if plain_mlx:
        backends["plain mlx"] = MlxBackend.load(checkpoint, capacity=CAPACITY)
    for name, backend in backends.items():
        each = [compare(backend, case) for case in cases]
        right &= all(one["within_the_rule"] for one in each)
        _say(
            f"{name} against native",
            {
                "tokens": sum(one["tokens"] for one in each),
                "different": sum(one["different"] for one in each),
                "gaps": [gap for one in each for gap in one["gaps"]],
                "logit_error": max(one["logit_error"] for one in each),
                "within_the_rule": all(one["within_the_rule"] for one in each),
            },
        )
    _say("all", {"right": right})
    return right


def _say(what: str, found: dict[str, Any]) -> None:
    print(json.dumps({"what": what} | found), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["expect", "check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--plain-mlx", action="store_true")
    given = parser.parse_args()
    if given.task == "expect":
        _expect(given.file)
    else:
        raise SystemExit(0 if _check(given.file, plain_mlx=given.plain_mlx) else 1)
