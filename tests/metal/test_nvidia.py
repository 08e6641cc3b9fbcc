"""The CUDA texts for matrix units: they compile in every shape, and what they can't do goes to the Metal text."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from flash_metal.launches import Heads, Tiling
from flash_metal.nvidia import kernels, module, prepare, texts
from flash_metal.nvidia.launch import by_mlx
from flash_metal.problem import ERRORS, Problem
from offmac.cuda import NVCC

pytestmark = pytest.mark.skipif(NVCC is None, reason="needs nvcc, of the CUDA toolkit 12 or later")


class Device:
    """A stand-in for an H100: texts are compiled, launches recorded, nothing is computed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launched: list[str] = []
        self.metal: list[str] = []
        self.grids: list[tuple[int, int, int]] = []

    def compile(self, text: str, target: str) -> bytes:
        source, code = self.folder / "kernel.cu", self.folder / "kernel.cubin"
        source.write_text(text)
        command = [
            str(NVCC),
            "-cubin",
            "-std=c++17",
            "-fmad=false",
            f"-arch={target}",
            "-o",
            str(code),
            str(source),
        ]
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return code.read_bytes()

    def launch(
        self, *, name: str, grid: Any, threadgroup: Any, output_shapes: Any, output_dtypes: Any, **_: Any
    ) -> Any:
        assert all(whole % part == 0 for whole, part in zip(grid, threadgroup, strict=True))
        self.launched.append(name.rpartition("_")[0])
        self.grids.append(grid)
        return self._nothing(output_shapes, output_dtypes)

    def metal_kernel(self, *, name: str, **_: Any) -> Any:
        def run(*, output_shapes: Any, output_dtypes: Any, **_: Any) -> Any:
            self.metal.append(name)
            return self._nothing(output_shapes, output_dtypes)

        return run

    @staticmethod
    def _nothing(shapes: Any, dtypes: Any) -> list[mx.array]:
        return [mx.ones(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(tmp_path)
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(module, "architecture", lambda: "sm_90")
    monkeypatch.setattr(module, "compile_text", made.compile)
    monkeypatch.setattr(module, "_finds_modules", lambda: True)
    monkeypatch.setattr(kernels, "multiprocessors", lambda: 132)
    monkeypatch.setattr(kernels, "shared_bytes", lambda: 232448)
    texts.module.cache_clear()
    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", made.launch)
    monkeypatch.setattr(mx.fast, "cuda_kernel", made.metal_kernel)
    return made


@pytest.mark.parametrize("launch", ERRORS)
@pytest.mark.parametrize(
    "problem",
    [
        Problem(Heads(9, 3, 64), hidden=576, inner=1536),
        Problem(
            Heads(4, 2, 96), hidden=384, inner=512, group=32, bits=8, tokens=3, bias=True, head_norm=True
        ),
        Problem(Heads(32, 32, 128), hidden=4096, inner=11008, tokens=8, dtype=mx.bfloat16),
        Problem(Heads(9, 3, 64), hidden=576, inner=1536, tokens=64),
    ],
    ids=["flash-coder", "switches", "6.7b", "wide"],
)
def test_compiles(device: Device, launch: str, problem: Problem) -> None:
    ERRORS[launch](problem, kernels.registry(by_mlx))
    assert device.launched
    assert not device.metal


@pytest.mark.parametrize(
    ("problem", "metal", "launched"),
    [
        (Problem(dtype=mx.float32), ["flash_linear"], []),
        # eight tokens of 40,000 values fit no multiprocessor
        (Problem(hidden=192, inner=40000, tokens=1), [], ["flash_stage", "flash_wide"]),
    ],
    ids=["float32", "long rows"],
)
def test_falls_back(device: Device, problem: Problem, metal: list[str], launched: list[str]) -> None:
    tiled = Problem(problem.heads, problem.hidden, problem.inner, dtype=problem.dtype, tiling=Tiling(rows=1))
    tiled.run_down(kernels.registry(by_mlx), tiled.inner_x(), tiled.x())
    assert (device.metal, device.launched) == (metal, launched)


def test_compiled_once(device: Device) -> None:
    problem = Problem()
    for _ in range(2):
        problem.embed_error(kernels.registry(by_mlx))
    assert len(list((device.folder / "kept").glob("*.ptx"))) == 1


def test_compiled_ahead(device: Device) -> None:
    problem = Problem(tokens=16, inner=192)
    run = [problem.embed_error, problem.gate_up_error]
    prepare.prepare(lambda dry: [error(dry) for error in run])
    kept = {file.name for file in (device.folder / "kept").glob("*.ptx")}
    assert not device.launched
    for error in run:
        error(kernels.registry(by_mlx))
    assert {file.name for file in (device.folder / "kept").glob("*.ptx")} == kept


def test_grid_follows_the_tokens(device: Device) -> None:
    """One text serves every number of tokens; its grid must not."""
    one_text = kernels.registry(by_mlx)
    for tokens in (1, 8):
        Problem(tokens=tokens).embed_error(one_text)
    assert [grid[1] for grid in device.grids] == [1, 8]


def test_placing(device: Device) -> None:
    cache, rows = mx.zeros((2, 2, 3, 64, 17), dtype=mx.uint32), mx.zeros((2, 2, 3, 2, 17), dtype=mx.uint32)
    same, following = kernels.place(cache, rows, kernels.resident(mx.array([1])))
    assert same is cache
    assert following.shape == (4,)


def test_compiler_errors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def call(*arguments: Any) -> int:
                if name == "nvrtcGetProgramLogSize":
                    arguments[1]._obj.value = 9
                elif name == "nvrtcGetProgramLog":
                    arguments[1].value = b"no good"
                return int(name == "nvrtcCompileProgram")

            return call

    monkeypatch.setattr(module, "_nvrtc", Broken)
    with pytest.raises(RuntimeError, match="NVRTC: no good"):
        module.compile_text("bad", "sm_90")
