"""What loading takes at most, besides what stays: anonymous memory of a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from flash_engine import architectures
from flash_engine.fields import Fields
from flash_engine.shapes import matrix_shapes, vector_shapes

from .conftest import NATIVE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1 << 20
ALLOWED = 1.1
OTHER = 16
"""MiB: the kernels' last, half-filled block of memory, their threads, Python."""
LOAD = """
import sys
from contextlib import contextmanager
from pathlib import Path
from flash_engine import Checkpoint, backends
from flash_engine.backends import native, reference
from flash_engine.matrices import Quantization

bits = int(sys.argv[2])
print("imported", flush=True)
input()
checkpoint = Checkpoint(Path(sys.argv[1]), quantize=Quantization(bits, 64) if bits else None)
backend = backends.load("native", checkpoint, capacity=256, threads=1)
print("loaded", flush=True)
input()
"""
RAW = {
    "model_type": "qwen2",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 32_000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of 73 million parameters in bfloat16: 150 MB, a third of them in the embedding."""
    folder = tmp_path_factory.mktemp("bf16")
    (folder / "config.json").write_text(json.dumps(RAW))
    config = architectures.of(Fields(RAW, folder)).config(Fields(RAW, folder))
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.weight": shape for name, shape in matrix_shapes(config).items()
    }
    tensors = {
        name: mx.array(rng.standard_normal(shape, np.float32) / shape[-1] ** 0.5).astype(mx.bfloat16)
        for name, shape in (shapes | dict(vector_shapes(config))).items()
    }
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    return folder


@pytest.mark.parametrize(("bits", "size"), [(0, 16), (8, 8.5), (4, 4.5)])
@pytest.mark.parametrize("device", NATIVE)
def test_loading_takes_at_most_a_tenth_more_than_what_stays(
    folder: Path, device: str, bits: int, size: float
) -> None:
    parameters = (folder / "model.safetensors").stat().st_size / 2
    peak, final = anonymous_memory(folder, bits)
    assert final > parameters * size / 8 / MIB * 0.98, "the weights are there"
    assert peak < ALLOWED * final
    assert peak < ALLOWED * parameters * size / 8 / MIB + OTHER


def anonymous_memory(folder: Path, bits: int) -> tuple[float, float]:
    """MiB that a process takes at most while it loads, and in the end, more than before."""
    command = [sys.executable, "-c", LOAD, folder, str(bits)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tell, hear = process.stdin, process.stdout

        def go_on() -> None:
            tell.write("\n")
            tell.flush()

        assert hear.readline() == "imported\n"
        before = _anonymous(process.pid)
        with _sampled(lambda: _anonymous(process.pid)) as most:
            go_on()
            assert hear.readline() == "loaded\n"
        final = _anonymous(process.pid)
        go_on()
    return max(most[0], final) - before, final - before


@contextmanager
def _sampled(measure: Callable[[], float]) -> Iterator[list[float]]:
    """The largest value of `measure`, taken a thousand times a second, as the only element of a list."""
    most, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            most[0] = max(most[0], measure())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


def _anonymous(process: int) -> float:
    """MiB of a process that are not pages of a file."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024
