"""Random histories of a KV cache, to check that logits depend on nothing but the tokens.

A family of token sequences branch off each other. A history appends pieces of one, trims, goes over to another that
shares what is left, forks. Whatever it does, every row of logits has to equal, bit for bit, the row computed by
appending the same tokens one by one to a fresh cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flash_engine import Backend, KVCache, Logits


@dataclass(frozen=True)
class Family:
    sequences: list[list[int]]
    expected: list[Logits]
    """For each sequence, [its length, vocab_size]."""

    def shared(self, one: int, other: int) -> int:
        """Length of the common prefix of two sequences."""
        pairs = zip(self.sequences[one], self.sequences[other], strict=True)
        return next((index for index, (a, b) in enumerate(pairs) if a != b), len(self.sequences[one]))


def family(backend: Backend, rng: np.random.Generator, *, length: int, branches: int = 4) -> Family:
    sequences = [rng.integers(17, backend.config.vocab_size, length).tolist()]
    for _ in range(branches - 1):
        parent = sequences[rng.integers(len(sequences))]
        keep = int(rng.integers(1, length))
        sequences.append(parent[:keep] + rng.integers(17, backend.config.vocab_size, length - keep).tolist())
    return Family(sequences, [one_by_one(backend, sequence) for sequence in sequences])


def one_by_one(backend: Backend, tokens: list[int]) -> Logits:
    cache = backend.new_cache()
    return np.concatenate([backend.forward([token], cache, logits=1) for token in tokens])


def run_history(backend: Backend, family: Family, rng: np.random.Generator, *, steps: int) -> int:
    """One random history; returns how many rows were compared. AssertionError tells the steps taken."""
    caches: list[tuple[int, KVCache]] = [(0, backend.new_cache())]
    taken: list[str] = []
    compared = 0
    for _ in range(steps):
        which = int(rng.integers(len(caches)))
        sequence, cache = caches[which]
        length = len(family.sequences[sequence])
        match rng.choice(["append", "append", "append", "trim", "branch", "fork"]):
            case "append" if cache.length < length:
                count = int(rng.integers(1, min(length - cache.length, rng.choice([1, 8, 40])) + 1))
                wanted = int(rng.integers(0, count + 1))
                begin, end = cache.length, cache.length + count
                taken.append(f"cache {which}: append {sequence}[{begin}:{end}], {wanted} rows")
                rows = backend.forward(family.sequences[sequence][begin:end], cache, logits=wanted)
                expected = family.expected[sequence][end - wanted : end]
                assert np.array_equal(rows, expected), "\n".join(
                    [*taken, f"off by {np.abs(rows - expected).max()}"]
                )
                compared += wanted
            case "trim":
                keep = int(rng.integers(0, cache.length + 1))
                taken.append(f"cache {which}: trim to {keep}")
                cache.trim(keep)
            case "branch":
                other = int(rng.integers(len(family.sequences)))
                keep = min(cache.length, family.shared(sequence, other))
                taken.append(f"cache {which}: trim to {keep}, on to sequence {other}")
                cache.trim(keep)
                caches[which] = (other, cache)
            case "fork" if len(caches) < 4:
                taken.append(f"cache {which}: fork to {len(caches)}")
                caches.append((sequence, cache.fork()))
    return compared
