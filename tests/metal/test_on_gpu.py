"""On a machine whose MLX has a GPU: the backend's passes, however they are launched, and the bundled models' tokens."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest

from flash_engine import Checkpoint, Tokenizer, bundled
from flash_engine.backends.fused import FusedBackend, FusedCache
from flash_engine.backends.mlx import MlxBackend
from flash_engine.drafting import DraftRule, draft
from flash_metal.registry import device_registry
from tests.engine.speculation.knowing import Knowing
from tests.engine.tiny import Shape, write_checkpoint

pytestmark = pytest.mark.skipif(
    not (mx.metal.is_available() or mx.cuda.is_available()), reason="MLX has no GPU here"
)
CAPACITY = 512


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[FusedBackend, FusedBackend]:
    """A backend as it is loaded, and one whose passes are operations of MLX."""
    shape = Shape(hidden=1024, ffn=2048, layers=4, heads=16, kv_heads=4, head_dim=64, group=64, vocab=4096)
    checkpoint = Checkpoint(write_checkpoint(tmp_path_factory.mktemp("random"), shape))
    loaded = FusedBackend.load(checkpoint, capacity=CAPACITY)
    return loaded, FusedBackend(loaded.config, CAPACITY, loaded._decoder, device_registry())


def test_replayed_passes_have_the_same_bits(pair: tuple[FusedBackend, FusedBackend]) -> None:
    tokens = np.random.default_rng(0).integers(0, 4096, 200).tolist()
    rows = []
    for backend in pair:
        cache = backend.new_cache()
        backend.forward(tokens[:101], cache, logits=0)
        found = []
        for size in range(1, 9):
            found.append(backend.forward(tokens[101 : 101 + size], cache, logits=size))
            cache.trim(101)
        rows.append(np.concatenate(found).tobytes())
    assert rows[0] == rows[1]


def test_the_gpu_decodes_what_forwards_choose(pair: tuple[FusedBackend, FusedBackend]) -> None:
    for backend in pair:
        cache, plain = backend.new_cache(), backend.new_cache()
        found = [token for token, _ in backend.greedy([5, 6, 7], cache, 20, vocabulary=4096)]
        wanted, last = [], [5, 6, 7]
        for _ in range(20):
            wanted.append(int(backend.forward(last, plain, logits=1)[0].argmax()))
            last = wanted[-1:]
        assert found == wanted
        assert cache.length == plain.length


def test_what_is_read_along_changes_no_draft(pair: tuple[FusedBackend, FusedBackend]) -> None:
    rng, right = np.random.default_rng(2), 0
    rule = DraftRule([0.0] * 7, [0.9] * 10, np.zeros(4096, np.bool_))
    for backend in pair:
        cache = backend.new_cache()
        for _ in range(20):
            tokens, length = rng.integers(0, 4096, int(rng.integers(1, 5))).tolist(), cache.length
            wanted = backend.greedy(tokens, cache, 7, vocabulary=4096)
            cache.trim(length)
            knowing = Knowing([token for token, _ in wanted], rng)
            assert draft(backend, tokens, cache, rule, along=knowing) == wanted
            assert cache.length == length + len(tokens) + 6
            right += knowing.right
    assert right > 40


def test_caches_in_turn_are_as_each_alone(pair: tuple[FusedBackend, FusedBackend]) -> None:
    texts = np.random.default_rng(1).integers(0, 4096, (2, 40)).tolist()
    loaded, _ = pair

    def read(cache: FusedCache, text: list[int]) -> Iterator[object]:
        for start, end in ((0, 20), (20, 21), (21, 24), (24, 32)):
            yield loaded.forward(text[start:end], cache, logits=min(8, end - start)).tobytes()
        yield loaded.greedy(text[32:34], cache, 5, vocabulary=4096)
        yield np.array(cache.rows)[..., : cache.length, :].tobytes()

    alone = [list(read(loaded.new_cache(), text)) for text in texts]
    in_turn = zip(*(read(loaded.new_cache(), text) for text in texts), strict=True)
    assert [list(found) for found in zip(*in_turn, strict=True)] == alone


@pytest.mark.bundled
def test_the_bundled_models_give_the_same_tokens_by_every_path() -> None:
    """Fused, decoded by the GPU, speculative; plain MLX and native by the rule between backends."""
    from flash_engine.backends.native import NativeBackend
    from flash_lsp.bench.gpu import bundled as bench

    folder = bundled.locate(bundled.MAIN)
    checkpoint, tokenizer = Checkpoint(folder), Tokenizer.from_folder(folder)
    main, draft = (
        FusedBackend.load(Checkpoint(bundled.locate(name)), capacity=CAPACITY)
        for name in (bundled.MAIN, bundled.DRAFT)
    )
    native = NativeBackend.load(checkpoint, capacity=CAPACITY)
    plain = MlxBackend.load(checkpoint, capacity=CAPACITY)
    for prompt in bench.prompts(tokenizer):
        assert bench.agree(bench.paths(main, draft, tokenizer, prompt))
        case = bench.expect(native, prompt)
        for backend in (main, plain):
            assert bench.compare(backend, case)["within_the_rule"]
