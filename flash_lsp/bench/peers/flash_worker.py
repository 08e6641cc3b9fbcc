"""This engine's native backend behind the same line protocol as llama_worker.py (see there)."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flash_engine import Engine
from flash_engine.backends.native import NativeBackend
from flash_lsp.bench import engine as bench

CONTEXT = 4096


class Worker:
    def load(self, model: str, threads: int) -> dict[str, Any]:
        engine = Engine.load(
            Path(model), draft=None, speculation=False, device="native", context=CONTEXT, threads=threads
        )
        assert isinstance(engine.backend, NativeBackend)
        self.engine, self.backend = engine, engine.backend
        self.cache = self.backend.new_cache()
        self.random = np.random.default_rng(1)
        return {"backend": self.backend.name}

    def limits(self) -> dict[str, Any]:
        """The machine's limits and the share of them in decode on an empty cache, as the engine's bench has it."""
        limits = bench.measure_limits(self.backend)
        times = bench.decode_times(self.backend, self.draw(16), depth=0, rounds=7)
        return {
            "limits": limits,
            "limit_share": limits["token_ms"] / 1000 / statistics.median(times),
            "v8_limit": limits["pass8_ms"] / limits["pass1_ms"],
        }

    def fill(self, depth: int) -> dict[str, Any]:
        self.cache.trim(0)
        for start in range(0, depth, 512):
            self.backend.forward(self.draw(min(512, depth - start)), self.cache, logits=0)
        return {}

    def timed_pass(self, tokens: int, logits: int, depth: int) -> dict[str, Any]:
        self.cache.trim(depth)
        return {"ms": self.run(self.draw(tokens), logits)}

    def decode(self, tokens: int, depth: int) -> dict[str, Any]:
        self.cache.trim(depth)
        return {"ms": sum(self.run([token], 1) for token in self.draw(tokens))}

    def logits(self, tokens: list[int]) -> dict[str, Any]:
        self.cache.trim(0)
        row = self.backend.forward(tokens, self.cache, logits=1)[0]
        top = np.argsort(-row)[:50]
        return {"top": top.tolist(), "values": row[top].tolist()}

    def draw(self, count: int) -> list[int]:
        drawn: list[int] = self.random.integers(300, self.backend.config.vocab_size, count).tolist()
        return drawn

    def run(self, tokens: list[int], logits: int) -> float:
        began = time.perf_counter()
        self.backend.forward(tokens, self.cache, logits=logits)
        return (time.perf_counter() - began) * 1e3


def main() -> None:
    worker = Worker()
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "load": worker.load,
        "limits": worker.limits,
        "fill": worker.fill,
        "pass": worker.timed_pass,
        "decode": worker.decode,
        "logits": worker.logits,
    }
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(operations[request.pop("op")](**request)), flush=True)


if __name__ == "__main__":
    main()
