"""The fused decoder as the bench sees it."""

from __future__ import annotations

import mlx.core as mx

from flash_lsp.bench.gpu.shapes import Shape, random_rows
from flash_metal.decoder import Decoder


class Fused:
    """A decoder and one cache; a pass's rows are placed in the graph of the next pass."""

    def __init__(self, decoder: Decoder, shape: Shape, capacity: int) -> None:
        self._decoder, self._shape = decoder, shape
        self._cache = random_rows(shape, capacity)
        self._rows: mx.array | None = None
        self._pass = mx.compile(self._greedy)

    def start(self, length: int) -> None:
        self._position = mx.array([length])
        self._rows = None
        mx.eval(self._position)

    def step(self, tokens: mx.array) -> mx.array:
        if self._rows is not None:
            self._cache, self._position = self._decoder.place(self._cache, self._rows, self._position)
        following, self._rows = self._pass(tokens, self._cache, self._position)
        return following

    def _greedy(self, tokens: mx.array, cache: mx.array, position: mx.array) -> tuple[mx.array, mx.array]:
        logits, rows = self._decoder(tokens, cache, position, logits=1)
        return mx.argmax(logits, axis=-1).astype(mx.int32), rows
