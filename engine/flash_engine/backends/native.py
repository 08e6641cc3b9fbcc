"""The native backend: weights of 4, 8 or 16 bits, int8 activations and int8 KV cache in C++, on the CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import numpy as np
import psutil

from flash_engine import _native
from flash_engine.backend import KVCache, Logits
from flash_engine.backends import native_layers
from flash_engine.backends.build import require_current_build
from flash_engine.backends.packing import Packer
from flash_engine.cancel import Cancel
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.drafting import Chosen, Read
from flash_engine.errors import Cancelled, CapacityError, DeviceError, ModelError

require_current_build()

ISA_VARIABLE = "FLASH_ISA"
"""Environment variable that forces an instruction set: one of `_native.supported_isas()`."""

_MOST_THREADS = 8
_ISA_NAMES = {
    "scalar": "plain C++",
    "avx2": "AVX2",
    "avxvnni": "AVX-VNNI",
    "avx512": "AVX-512",
    "avx512vnni": "AVX-512 VNNI",
    "amx": "AMX int8",
    "neon": "NEON dotprod",
    "neon-i8mm": "NEON i8mm",
}


class NativeBackend:
    """Every instruction set, number of threads and way to cut tokens into passes gives the same logits."""

    def __init__(self, config: ModelConfig, model: _native.Model) -> None:
        self.config = config
        self._model = model

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, capacity: int, threads: int | None = None) -> Self:
        """Repack the weights for the kernels; only that copy is resident afterwards.

        threads: default one a physical core, at most 8. Raises DeviceError for an instruction set in FLASH_ISA
        that this machine lacks, ModelError for a shape that the kernels do not know.
        """
        config = checkpoint.config
        isa = os.environ.get(ISA_VARIABLE, "")
        if isa and isa not in _native.supported_isas():
            raise DeviceError(
                f"{ISA_VARIABLE}={isa}: this machine cannot run it, choose one of {', '.join(_native.supported_isas())}"
            )
        try:
            packer = Packer(checkpoint)
            # The largest matrices first, while there is room for both forms of them.
            embedding = packer.stack("model.embed_tokens")
            head = embedding if config.tie_embeddings else packer.stack("lm_head")
            model = _native.Model(
                shape=_native.AttentionShape(
                    config.num_heads, config.num_kv_heads, config.key_dim, config.value_dim
                ),
                embedding=embedding,
                embedding_scale=config.embedding_multiplier,
                layers=[native_layers.layer(checkpoint, packer, i) for i in range(config.num_layers)],
                norm=native_layers.norm(checkpoint, "model.norm"),
                head=_native.Linear(head, []),
                rope=rope_table(config, capacity),
                isa=isa,
                threads=default_threads() if threads is None else threads,
            )
        except ValueError as error:
            raise ModelError(
                f"{checkpoint.folder}: the native backend cannot run this model: {error}"
            ) from None
        return cls(config, model)

    @property
    def name(self) -> str:
        count = self._model.threads
        return f"native ({_ISA_NAMES[self._model.isa]}, {count} thread{'s' if count > 1 else ''})"

    @property
    def capacity(self) -> int:
        return self._model.capacity

    @property
    def threads(self) -> int:
        return self._model.threads

    @property
    def isa(self) -> str:
        """The instruction set in use: one of `_native.supported_isas()`."""
        return self._model.isa

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Bytes of weights that a token reads, by operation."""
        return {name: size for name, size in self._model.weight_bytes.items() if size}

    def new_cache(self) -> _native.KVCache:
        return self._model.new_cache()

    def forward(
        self,
        tokens: Sequence[int],
        cache: KVCache,
        *,
        logits: int,
        cancel: threading.Event | None = None,
        laps: _native.Laps | None = None,
    ) -> Logits:
        """As every backend's; `laps` gets the seconds that each operation takes."""
        assert isinstance(cache, _native.KVCache)
        self._require_room(cache, len(tokens))
        rows = self._model.forward(tokens, cache, logits, _flag(cancel), laps)
        if rows is None:
            raise Cancelled
        return rows

    @contextmanager
    def choosing(
        self, cache: KVCache, *, vocabulary: int, cancel: threading.Event | None = None
    ) -> Iterator[Read]:
        """See ChoosingBackend."""
        assert isinstance(cache, _native.KVCache)
        held, flag = cache, _flag(cancel)

        def read(tokens: Sequence[int], position: int, choices: int) -> Chosen:
            held.trim(position)
            self._require_room(held, len(tokens))
            chosen = self._model.choose(tokens, held, choices, vocabulary, flag)
            if chosen is None:
                raise Cancelled
            return chosen

        yield read

    def _require_room(self, cache: KVCache, tokens: int) -> None:
        if cache.length + tokens > self.capacity:
            raise CapacityError(f"{tokens} tokens after {cache.length} exceed the context of {self.capacity}")


def _flag(cancel: threading.Event | None) -> _native.Flag | None:
    return cancel.flag if isinstance(cancel, Cancel) else None


def default_threads() -> int:
    """One a physical core that this process may use, at most 8: more would wait for memory."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or 1, available, _MOST_THREADS))


def rope_table(config: ModelConfig, positions: int) -> _native.RopeTable:
    """Cosines and sines of the rotary embedding (Su et al. 2021), each [positions, key_dim / 2].

    Both contain what queries and keys are multiplied by: the rope's magnitude, and the root of what the scores have
    beyond the kernels' one over the root of key_dim. Latent attention turns the first pairs only.
    """
    turned = config.head_dim // 2
    angles, magnitude = np.zeros((positions, config.key_dim // 2)), np.ones(config.key_dim // 2)
    angles[:, :turned] = np.outer(np.arange(positions), config.rope.frequencies(config.head_dim))
    magnitude[:turned] = config.rope.magnitude
    magnitude *= (config.attention_scale * config.key_dim**0.5) ** 0.5
    cosines, sines = (magnitude * turn(angles) for turn in (np.cos, np.sin))
    return _native.RopeTable(cosines.ravel().tolist(), sines.ravel().tolist())
