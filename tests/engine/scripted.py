"""A backend without a model: the next token is a function of the tokens so far, and every forward is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from flash_engine import CapacityError, KVCache, Logits, ModelConfig
from flash_engine.rope import Rope

CONFIG = ModelConfig(
    model_type="llama",
    hidden_size=8,
    intermediate_size=8,
    num_layers=1,
    num_heads=1,
    num_kv_heads=1,
    head_dim=8,
    vocab_size=49_152,
    rope=Rope(),
    norm_eps=1e-5,
    max_positions=4096,
    tie_embeddings=True,
    eos_ids=(0,),
)


@dataclass
class ScriptedCache:
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.tokens)

    def trim(self, length: int) -> None:
        if length > self.length:
            raise ValueError(f"{length} > {self.length}")
        del self.tokens[length:]

    def fork(self) -> ScriptedCache:
        return ScriptedCache(self.tokens.copy())


class ScriptedBackend:
    """`choose(tokens)` names the token that gets the largest logit after `tokens`."""

    name = "scripted"
    config = CONFIG

    def __init__(self, choose: Callable[[Sequence[int]], int], capacity: int = 64) -> None:
        self.capacity = capacity
        self.passes: list[list[int]] = []
        self.before_forward: Callable[[], None] = lambda: None
        self._choose = choose

    def new_cache(self) -> ScriptedCache:
        return ScriptedCache()

    def forward(
        self, tokens: Sequence[int], cache: KVCache, *, logits: int, cancel: threading.Event | None = None
    ) -> Logits:
        assert isinstance(cache, ScriptedCache)
        self.before_forward()
        if cache.length + len(tokens) > self.capacity:
            raise CapacityError("full")
        self.passes.append(list(tokens))
        rows = np.zeros((len(tokens), CONFIG.vocab_size), np.float32)
        for row, token in enumerate(tokens):
            cache.tokens.append(token)
            rows[row, self._choose(cache.tokens)] = 10.0
        return rows[len(tokens) - logits :]
