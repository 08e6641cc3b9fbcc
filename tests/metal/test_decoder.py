"""The fused decoder: against float64, however its tokens are cut into passes, and how much it launches."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from flash_metal import reference
from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import Tiling
from flash_metal.problem import Problem
from flash_metal.registry import Registry, Tile, as_given, place_by_update
from offmac import host

needs_host = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)

TILING = Tiling(splits=2, attention_simdgroups=2, simdgroups=4, split=2)
EPS = 1e-5
CAPACITY = 64
TOKENS = [5, 17, 100, 3, 3, 250, 81, 0, 9, 255, 40]


def model(problem: Problem, layers: int, tile: Tile = as_given) -> Weights:
    def of(seed: int) -> Layer:
        p = Problem(problem.heads, problem.hidden, problem.inner, dtype=problem.dtype, seed=seed)
        heads, size = p.heads.query + 2 * p.heads.kv, p.heads.size
        return Layer(
            attention_norm=p.norm(p.hidden),
            qkv=p.matrix(heads * size, p.hidden),
            output=p.matrix(p.hidden, p.heads.query * size),
            inner_norm=p.norm(p.hidden),
            gate_up=p.matrix(2 * p.inner, p.hidden),
            down=p.matrix(p.hidden, p.inner),
            qkv_bias=p.norm(heads * size) if problem.bias else None,
            head_norm=p.norm(2, size) if problem.head_norm else None,
        ).tiled(tile)

    tied = problem.matrix(256, problem.hidden)
    layers_made = tuple(of(100 * i) for i in range(layers))
    return Weights(tied, layers_made, problem.norm(problem.hidden), tile(tied))


def decoder(kernels: Registry, problem: Problem, layers: int) -> Decoder:
    weights = model(problem, layers, kernels.tile)
    return Decoder(kernels, TILING, problem.heads, weights, frequency=problem.frequency(), eps=EPS)


def run(made: Decoder, passes: list[int], cache: mx.array) -> tuple[NDArray[np.float32], mx.array]:
    """Logits of TOKENS, cut into `passes`, on an empty cache whose rows hold anything."""
    rows = []
    start = 0
    for count in passes:
        tokens, position = mx.array(TOKENS[start : start + count]), mx.array([start])
        logits, new = made(tokens, cache, position, logits=count)
        cache, _ = made.place(cache, new, position)
        rows.append(np.array(logits))
        start += count
    return np.concatenate(rows), cache[:, :, :, :start]


def forward(problem: Problem, layers: int) -> reference.Array:
    """The logits of TOKENS in float64; keys and values are quantized as launch 1 does it."""
    weights, heads = model(problem, layers), problem.heads
    x = reference.dequantize(weights.embedding)[TOKENS]
    for layer in weights.layers:
        q, k, v = reference.qkv(
            heads,
            x,
            reference.exact(layer.attention_norm),
            reference.dequantize(layer.qkv),
            bias=None if layer.qkv_bias is None else reference.exact(layer.qkv_bias),
            head_norm=None if layer.head_norm is None else reference.exact(layer.head_norm),
            frequency=reference.exact(problem.frequency()),
            position=0,
            eps=EPS,
        )
        keys, values = (reference.round_rows(r).transpose(1, 0, 2) for r in (k, v))
        attended = reference.attention(q, keys, values, 0, heads.size**-0.5).reshape(len(x), -1)
        x = x + attended @ reference.dequantize(layer.output).T
        inner = reference.gate_up(
            x, reference.exact(layer.inner_norm), reference.dequantize(layer.gate_up), EPS
        )
        x = x + inner @ reference.dequantize(layer.down).T
    normed = reference.rms_norm(x, reference.exact(weights.norm), EPS)
    return np.asarray(normed @ reference.dequantize(weights.head).T)


@needs_host
@pytest.mark.parametrize("extras", [False, True], ids=["llama", "bias and head norms"])
def test_against_float64(extras: bool) -> None:
    problem = Problem(dtype=mx.float32, hidden=128, bias=extras, head_norm=extras)
    made = decoder(Registry(partial(host.kernel, orders=1)), problem, layers=2)
    logits, _ = run(made, [8, 3], made.new_cache(CAPACITY))
    want = forward(problem, layers=2)
    # A key or value that lies at the middle of two steps may be rounded to the other one.
    assert np.abs(logits - want).max() < 2e-3 * np.abs(want).max()
    np.testing.assert_array_equal(logits.argmax(-1), want.argmax(-1))


@needs_host
def test_any_passes_give_the_same_bits() -> None:
    made = decoder(Registry(partial(host.kernel, orders=1)), Problem(hidden=128), layers=2)
    want, cache = run(made, [1] * len(TOKENS), made.new_cache(CAPACITY))
    garbage = mx.full(made.new_cache(CAPACITY).shape, 0xFFFFFFFF, dtype=mx.uint32)
    for passes in ([8, 3], [3, 8], [1, 1, 1, 8]):
        logits, other = run(made, passes, garbage)
        assert logits.tobytes() == want.tobytes()
        assert np.array_equal(np.array(other), np.array(cache))


@needs_host
def test_no_logits() -> None:
    made = decoder(Registry(partial(host.kernel, orders=1)), Problem(hidden=128), layers=1)
    logits, rows = made(mx.array([1]), made.new_cache(CAPACITY), mx.array([0]), logits=0)
    assert logits.shape == (0, 256)
    assert rows.shape == (1, 2, 2, 1, 17)


@pytest.mark.parametrize("tokens", [1, 8])
@pytest.mark.parametrize("layers", [2, 20])
def test_launches(layers: int, tokens: int) -> None:
    """Five a layer, embed, head, and one for each 16 layers' rows."""

    def factory(**make: Any) -> Any:
        return partial(mx.fast.metal_kernel(**make), stream=mx.gpu)

    made = decoder(Registry(factory), Problem(hidden=128), layers)
    found: Counter[str] = Counter()

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] == "primitive":
            found[event["name"]] += 1

    one_pass = partial(made, logits=1)
    ids, position = mx.zeros((tokens,), dtype=mx.int32), mx.zeros((1,), dtype=mx.int32)
    mx.export_function(on_event, one_pass, ids, made.new_cache(CAPACITY), position)
    assert found == Counter(
        CustomKernel=5 * layers + 2 + -(-layers // 16),
        Slice=int(tokens > 1),  # the last row: a view, no launch
    )


def test_rows_are_placed_in_place() -> None:
    """A copy of the cache would double the memory."""
    cache, rows = mx.zeros((4, 2, 2, 4096, 17), dtype=mx.uint32), mx.ones((4, 2, 2, 8, 17), dtype=mx.uint32)
    mx.eval(cache, rows)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    cache, following = place_by_update(cache, rows, mx.array([100]))
    mx.eval(cache, cache[0, 0, 0, 100, 0])
    assert mx.get_peak_memory() - before < cache.nbytes / 2
    assert following.item() == 108
    assert int(cache.sum()) == rows.size
