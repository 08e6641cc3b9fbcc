"""Every architecture on the native backend: instruction sets, threads, cuts and histories all give the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flash_engine import Checkpoint, Logits, backends
from flash_engine.matrices import Quantization

from . import gguf_writer
from .architectures import CASES, make
from .histories import family, run_history
from .test_architectures_int4 import HEADS_OF_32

native = pytest.importorskip("flash_engine.backends.native", reason="flash_engine._native is not built")
_native = pytest.importorskip("flash_engine._native")

LENGTH = 300
"""Beyond the 256 positions that attention reduces at a time."""
CUTS = {
    1: [1, 2, 4, 9, 40, 255, 257],
    2: [128],
    3: [LENGTH - 3],
}
"""Number of threads -> where the tokens are cut into passes."""


@pytest.mark.parametrize("case", CASES)
def test_every_way_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    make(case, tmp_path, sizes=HEADS_OF_32)
    checkpoint = Checkpoint(tmp_path, quantize=Quantization(4, 32))
    tokens = np.random.default_rng(0).integers(160, size=LENGTH).tolist()

    def load(isa: str, threads: int) -> native.NativeBackend:
        monkeypatch.setenv(native.ISA_VARIABLE, isa)
        return native.NativeBackend.load(checkpoint, capacity=LENGTH, threads=threads)

    def logits(backend: native.NativeBackend, cuts: list[int]) -> Logits:
        cache = backend.new_cache()
        parts = np.split(np.array(tokens), cuts)
        return np.concatenate([backend.forward(part.tolist(), cache, logits=len(part)) for part in parts])

    expected = logits(load("scalar", 2), [LENGTH - 3])
    for isa in _native.supported_isas():
        for threads, cuts in CUTS.items():
            assert np.array_equal(logits(load(isa, threads), cuts), expected), (isa, threads, cuts)

    backend, rng = load("", 2), np.random.default_rng(1)
    relatives = family(backend, rng, length=40)
    assert sum(run_history(backend, relatives, rng, steps=12) for _ in range(30)) > 300


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
@pytest.mark.parametrize("case", ["gemma", "starcoder2", "qwen3_moe", "deepseek_v2"])
def test_gguf_files(tmp_path: Path, case: str, kind: str) -> None:
    """Close to the reference from the same file, but at a token that a near tie sends to other experts."""
    make(case, tmp_path, sizes=HEADS_OF_32)
    checkpoint = Checkpoint(gguf_writer.write(tmp_path, tmp_path / "model.gguf", kind))
    tokens = np.random.default_rng(0).integers(160, size=40).tolist()
    native_rows, expected = (
        backend.forward(tokens, backend.new_cache(), logits=40)
        for backend in (backends.load(name, checkpoint, capacity=64) for name in ("native", "reference"))
    )
    errors = np.sqrt(np.mean(np.square(native_rows - expected), axis=1)) / expected.std()
    assert np.median(errors) < 0.05
