"""The native backend: every instruction set, number of threads and cut gives the same bits."""

from __future__ import annotations

import gc
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from flash_engine import (
    Backend,
    Cancel,
    Cancelled,
    CapacityError,
    Checkpoint,
    DeviceError,
    Logits,
    ModelError,
    Tokenizer,
)

from .hugging_face import HuggingFaceModel
from .tiny import Shape, write_checkpoint

native = pytest.importorskip("flash_engine.backends.native", reason="flash_engine._native is not built")
_native = pytest.importorskip("flash_engine._native")

STDLIB = Path(sysconfig.get_path("stdlib"))
SOURCES = Path(__file__).parents[2] / "engine" / "native"

Load = Callable[..., Backend]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(folder, isa="", threads=1)"""

    def load(folder: Path, isa: str = "", threads: int = 1) -> Backend:
        monkeypatch.setenv(native.ISA_VARIABLE, isa)
        backend: Backend = native.NativeBackend.load(Checkpoint(folder), capacity=700, threads=threads)
        return backend

    return load


def logits_of(backend: Backend, tokens: list[int], cuts: list[int]) -> Logits:
    """Logits of all tokens, computed in passes that end at `cuts` and at the end."""
    cache = backend.new_cache()
    ends = [*cuts, len(tokens)]
    parts = [
        backend.forward(tokens[first:last], cache, logits=last - first)
        for first, last in zip([0, *cuts], ends, strict=True)
    ]
    return np.concatenate(parts)


SHAPES = {
    "three heads share a key": Shape(hidden=192, ffn=256, heads=6, kv_heads=2, group=64),
    "seven heads share a key, size 128": Shape(hidden=64, heads=7, kv_heads=1, head_dim=128),
    "a head size that no group divides": Shape(heads=4, kv_heads=4, head_dim=96, group=64),
    "biases, untied, rows that fill no block": Shape(bias=True, tied=False, vocab=301),
    "groups of 64 on heads of 32": Shape(hidden=128, group=64),
}


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("shape", SHAPES)
def test_every_isa_equals_the_scalar_one(load: Load, tmp_path: Path, shape: str, isa: str) -> None:
    folder = write_checkpoint(tmp_path, SHAPES[shape])
    tokens = np.random.default_rng(0).integers(300, size=340).tolist()
    expected = logits_of(load(folder, "scalar"), tokens, [340 - 3])
    for threads, cuts in ((1, [1, 2, 4, 9, 40, 255, 257]), (2, [128]), (3, [300])):
        assert np.array_equal(logits_of(load(folder, isa, threads), tokens, cuts), expected)


@pytest.fixture(scope="module")
def bundled_scalar(bundled_folder: Path) -> Logits:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.ISA_VARIABLE, "scalar")
        backend = native.NativeBackend.load(Checkpoint(bundled_folder), capacity=64, threads=2)
    return logits_of(backend, list(range(100, 120)), [])


@pytest.mark.bundled
@pytest.mark.parametrize("isa", _native.supported_isas())
def test_bundled_model_on_every_isa(
    load: Load, bundled_folder: Path, bundled_scalar: Logits, isa: str
) -> None:
    tokens = list(range(100, 120))
    for threads, cuts in ((1, []), (2, [1, 4, 12]), (3, list(range(1, 20)))):
        assert np.array_equal(logits_of(load(bundled_folder, isa, threads), tokens, cuts), bundled_scalar)


@pytest.mark.bundled
def test_int8_activations_cost_little(load: Load, bundled_folder: Path, tokenizer: Tokenizer) -> None:
    """Bits a byte of Python code: at most half a percent above float activations and cache."""
    exact = HuggingFaceModel(Checkpoint(bundled_folder))
    backend = load(bundled_folder, threads=2)
    sources = ["argparse.py", "textwrap.py", "shlex.py", "json/decoder.py"]
    bits = {"native": 0.0, "float": 0.0}
    size = 0
    for source in sources:
        tokens = tokenizer.encode((STDLIB / source).read_text(encoding="utf-8")[:2500])[:600]
        size += len(tokenizer.decode(tokens[1:]))
        bits["native"] += loss_bits(logits_of(backend, tokens, []), tokens)
        bits["float"] += loss_bits(exact.logits(tokens), tokens)
    ratio = bits["native"] / bits["float"]
    print(
        f"float {bits['float'] / size:.4f} bits a byte, native {bits['native'] / size:.4f}: ratio {ratio:.5f}"
    )
    assert bits["float"] / size < 1.0, "not what the model is worth: the comparison says nothing"
    assert ratio < 1.005


def loss_bits(logits: Logits, tokens: list[int]) -> float:
    """Bits of tokens 1 .. by the logits of the tokens before them."""
    rows = logits[:-1].astype(np.float64)
    top = rows.max(axis=1, keepdims=True)
    totals = np.log(np.exp(rows - top).sum(axis=1)) + top[:, 0]
    return float((totals - rows[np.arange(len(rows)), tokens[1:]]).sum() / np.log(2))


def test_a_module_of_other_sources_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_current_build = pytest.importorskip("flash_engine.backends.build").require_current_build
    require_current_build()
    require_current_build(tmp_path / "no checkout")
    changed = tmp_path / "module.cpp"
    changed.write_bytes((SOURCES / "module.cpp").read_bytes() + b"\n")
    with pytest.raises(DeviceError, match=r"_native.* was compiled from other sources .*pip install -e \."):
        require_current_build(changed)
    monkeypatch.delattr(_native, "bindings")
    with pytest.raises(DeviceError, match="compile it again"):
        require_current_build()


def test_an_older_module_is_refused_before_anything_of_it_is_used() -> None:
    code = """if True:
        import sys, types
        older = types.ModuleType("flash_engine._native")
        older.__file__ = "_native.so"
        sys.modules[older.__name__] = older
        import flash_engine
        flash_engine._native = older
        import flash_engine.backends.native
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DeviceError: _native.so was compiled from other sources" in run.stderr


def test_unknown_isa_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"FLASH_ISA=mmx: .* choose one of .*scalar"):
        load(write_checkpoint(tmp_path), "mmx")


def test_unsupported_head_size_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="head size must be a multiple of 32 up to 256, not 48"):
        load(write_checkpoint(tmp_path, Shape(hidden=192, head_dim=48)))


def test_too_many_tokens_change_nothing(load: Load, tmp_path: Path) -> None:
    backend = load(write_checkpoint(tmp_path))
    cache = backend.new_cache()
    backend.forward([1] * 699, cache, logits=0)
    with pytest.raises(CapacityError, match="2 tokens after 699 exceed the context of 700"):
        backend.forward([1, 2], cache, logits=1)
    assert cache.length == 699


def test_cancel_within_a_forward_leaves_the_cache_valid(load: Load, tmp_path: Path) -> None:
    backend = load(write_checkpoint(tmp_path, Shape(layers=6)), "scalar", 2)
    tokens = np.random.default_rng(2).integers(300, size=650).tolist()
    cache = backend.new_cache()
    backend.forward(tokens[:50], cache, logits=0)
    cancel = Cancel()

    def work() -> None:
        while True:
            cache.trim(50)
            backend.forward(tokens[50:], cache, logits=1, cancel=cancel)

    threading.Timer(0.02, cancel.set).start()
    with pytest.raises(Cancelled):
        work()
    assert cache.length == 50
    expected = backend.forward(tokens[:60], backend.new_cache(), logits=1)
    assert np.array_equal(backend.forward(tokens[50:60], cache, logits=1), expected)


def test_cancelled_before_it_begins(load: Load, tmp_path: Path) -> None:
    backend = load(write_checkpoint(tmp_path))
    cache = backend.new_cache()
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        backend.forward([1, 2], cache, logits=1, cancel=cancel)
    assert cache.length == 0
    with pytest.raises(RuntimeError, match="make a new event"):
        cancel.clear()


@pytest.mark.parametrize("token", [-1, 300])
def test_token_outside_the_vocabulary_changes_nothing(load: Load, tmp_path: Path, token: int) -> None:
    backend = load(write_checkpoint(tmp_path))
    cache = backend.new_cache()
    with pytest.raises(ValueError, match=f"token {token} is outside the vocabulary of 300"):
        backend.forward([1, token], cache, logits=1)
    assert cache.length == 0


def test_trim_keeps_a_beginning_only(load: Load, tmp_path: Path) -> None:
    cache = load(write_checkpoint(tmp_path)).new_cache()
    with pytest.raises(ValueError, match="cannot trim a cache of 0 tokens to 1"):
        cache.trim(1)


def test_forks_share_memory_until_written(load: Load, tmp_path: Path) -> None:
    backend = load(write_checkpoint(tmp_path))
    cache = backend.new_cache()
    assert cache.bytes == 0
    backend.forward(list(range(257)), cache, logits=0)
    fork = cache.fork()
    expected = backend.forward([7], cache, logits=1)
    backend.forward([8], fork, logits=1)
    fork.trim(100)
    backend.forward([9] * 200, fork, logits=0)
    cache.trim(257)
    assert np.array_equal(backend.forward([7], cache, logits=1), expected)
    del backend, cache
    gc.collect()
    assert fork.length == 300


def test_idle_threads_use_no_processor(load: Load, tmp_path: Path) -> None:
    backend = load(write_checkpoint(tmp_path), threads=4)
    backend.forward([1], backend.new_cache(), logits=1)
    time.sleep(0.2)
    before = psutil.Process().cpu_times()
    time.sleep(0.5)
    after = psutil.Process().cpu_times()
    assert after.user + after.system - before.user - before.system < 0.25


def test_argmax_logprob() -> None:
    logits = np.array([0, 3, 1, 3, -200], np.float32)
    best, logprob = _native.argmax_logprob(logits)
    assert best == 1
    assert logprob == pytest.approx(3 - np.log(np.exp(logits.astype(float)).sum()), abs=1e-6)
    assert _native.argmax_logprob(logits, np.array([2, 4], np.int32)) == pytest.approx((2, 0.0))
    for allowed, message in (([], "no token to choose from"), ([5], "token 5 is outside the logits")):
        with pytest.raises(ValueError, match=message):
            _native.argmax_logprob(logits, np.array(allowed, np.int32))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sanitize", ["", "address,undefined", "thread"])
def test_kernels_in_cpp(tmp_path: Path, sanitize: str) -> None:
    """kernels_test: all kernels against the scalar ones (AMX tiles emulated), and the thread pool. model_test: passes
    of a model by several threads."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    build_tests(tmp_path, "-DFLASH_EMULATE_TILES=ON", f"-DFLASH_SANITIZE={sanitize}")
    for test, line in (("kernels_test", "scalar: "), ("model_test", "model on 4 threads: ")):
        result = subprocess.run([tmp_path / test], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        assert line in result.stdout


@pytest.mark.timeout(900)
def test_neon_kernels_emulated(tmp_path: Path) -> None:
    """kernels_test and model_test of an AArch64 build, run by QEMU on processors of three ages."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None or shutil.which("cmake") is None:
        pytest.skip("needs cmake, aarch64-linux-gnu-g++ (g++-aarch64-linux-gnu) and qemu-aarch64 (qemu-user)")
    system = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    build_tests(tmp_path, *system, f"-DCMAKE_CXX_COMPILER={compiler}")
    for cpu, expected in (
        ("max", ["neon-i8mm", "neon", "scalar"]),
        ("neoverse-n1", ["neon", "scalar"]),  # Armv8.2 with dot products
        ("cortex-a53", ["scalar"]),  # Armv8.0
    ):
        output = ""
        for test in ("kernels_test", "model_test"):
            command = [emulator, "-cpu", cpu, "-L", "/usr/aarch64-linux-gnu", tmp_path / test]
            result = subprocess.run(command, capture_output=True, text=True)
            assert result.returncode == 0, result.stdout + result.stderr
            output += result.stdout
        assert re.findall(r"^(\S+): \d+ results equal$", output, re.MULTILINE) == expected
        assert "model on 4 threads: " in output


def build_tests(folder: Path, *options: str) -> None:
    configure = ["cmake", "-S", SOURCES, "-B", folder, "-DFLASH_TESTS=ON", *options]
    for command in (configure, ["cmake", "--build", folder, "-j2"]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
