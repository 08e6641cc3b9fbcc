"""llama.cpp behind the bench's line protocol. Runs in the peers' environment (llama-cpp-python).

One JSON request a line on stdin, one JSON answer a line on stdout:
  {"op": "load", "model": PATH, "threads": N, "flash": BOOL}           -> {}
  {"op": "quantize", "model": PATH, "out": PATH}                       -> {}   pure Q4_0
  {"op": "fill", "depth": N}                                           -> {}   N random tokens in the cache
  {"op": "pass", "tokens": M, "logits": K, "depth": N}                 -> {"ms": one pass of M tokens on N cached}
  {"op": "decode", "tokens": M, "depth": N}                            -> {"ms": M passes of one token}
  {"op": "logits", "tokens": [ids]}                                    -> {"top": [ids], "values": [floats]} of the last
The cache is cut back to `depth` before each pass; tokens are random, drawn with a fixed seed.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import llama_cpp as ll
import numpy as np

CONTEXT = 4096
LOG = ll.llama_log_callback(lambda level, text, data: None)


class Worker:
    def load(self, model: str, threads: int, flash: bool) -> dict[str, Any]:
        params = ll.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = ll.llama_model_load_from_file(model.encode(), params)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {model}")
        params = ll.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, 2048, 512
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 1 if flash else 0
        params.no_perf = True
        self.context = ll.llama_init_from_model(self.model, params)
        self.vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))
        self.memory = ll.llama_get_memory(self.context)
        self.batch = ll.llama_batch_init(2048, 0, 1)
        self.random = np.random.default_rng(1)
        return {}

    def quantize(self, model: str, out: str) -> dict[str, Any]:
        params = ll.llama_model_quantize_default_params()
        params.ftype, params.pure, params.allow_requantize = 2, True, True
        if ll.llama_model_quantize(model.encode(), out.encode(), ctypes.byref(params)):
            raise SystemExit(f"llama.cpp cannot quantize {model}")
        return {}

    def fill(self, depth: int) -> dict[str, Any]:
        ll.llama_memory_clear(self.memory, True)
        for start in range(0, depth, 512):
            self.run(self.draw(min(512, depth - start)), start, 1)
        return {}

    def timed_pass(self, tokens: int, logits: int, depth: int) -> dict[str, Any]:
        ll.llama_memory_seq_rm(self.memory, 0, depth, -1)
        return {"ms": self.run(self.draw(tokens), depth, logits)}

    def decode(self, tokens: int, depth: int) -> dict[str, Any]:
        ll.llama_memory_seq_rm(self.memory, 0, depth, -1)
        return {"ms": sum(self.run([t], depth + i, 1) for i, t in enumerate(self.draw(tokens)))}

    def logits(self, tokens: list[int]) -> dict[str, Any]:
        ll.llama_memory_clear(self.memory, True)
        self.run(tokens, 0, 1)
        row = np.ctypeslib.as_array(ll.llama_get_logits_ith(self.context, -1), (self.vocabulary,))
        top = np.argsort(-row)[:50]
        return {"top": top.tolist(), "values": row[top].tolist()}

    def draw(self, count: int) -> list[int]:
        drawn: list[int] = self.random.integers(300, self.vocabulary, count).tolist()
        return drawn

    def run(self, tokens: list[int], start: int, logits: int) -> float:
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = i >= len(tokens) - logits
        began = time.perf_counter()
        if ll.llama_decode(self.context, batch):
            raise SystemExit("llama_decode failed")
        ll.llama_get_logits_ith(self.context, -1)
        return (time.perf_counter() - began) * 1e3


def main() -> None:
    ll.llama_log_set(LOG, None)
    ll.llama_backend_init()
    worker = Worker()
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "load": worker.load,
        "quantize": worker.quantize,
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
