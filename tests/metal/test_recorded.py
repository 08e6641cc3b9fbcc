"""Passes as CUDA graphs, without a GPU: what is launched, on which arrays, and what the host reads."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from flash_metal.decoder import Decoder, Layer, Weights
from flash_metal.launches import Heads, Tiling
from flash_metal.nvidia import kernels, module, recorded, texts
from flash_metal.nvidia.driver import Driver
from flash_metal.nvidia.recorded import Recording, Replay
from flash_metal.problem import Problem
from flash_metal.registry import Registry
from offmac.cuda import NVCC

LAYERS = 18
PROBLEM = Problem(Heads(9, 3, 64), hidden=576, inner=1536)


class Device:
    """A stand-in for a GPU and its driver: arrays get addresses, launches are noted, tokens come from a list."""

    def __init__(self) -> None:
        self.addresses = 0
        self.launched: list[tuple[str, list[int], tuple[int, ...]]] = []
        self.graphs: list[list[tuple[str, list[int], tuple[int, ...]]]] = []
        self.replayed: list[int] = []
        self.set_nodes: list[list[int]] = []
        self.forgotten = 0
        self.shared: list[Any] = []
        self.reads: list[int] = []

    def operation(self, *, name: str, inputs: Any, output_shapes: Any, output_dtypes: Any, **_: Any) -> Any:
        """mx.fast.precompiled_cuda_kernel."""
        if name.startswith("flash_address"):
            self.addresses += 1
            at: int = np.asarray(memoryview(inputs[0])).ctypes.data
            return [mx.array([at & 0xFFFFFFFF, at >> 32, 0, 0], dtype=mx.uint32)]
        return [mx.zeros(shape, dtype=t) for shape, t in zip(output_shapes, output_dtypes, strict=True)]

    def enter(self) -> None: ...

    def wait(self) -> None: ...

    def function(self, code: bytes, name: str) -> str:
        assert code == b"code"
        return name

    def host_words(self, count: int) -> tuple[Any, int]:
        self.shared.append(np.zeros(count, np.int32))
        return self.shared[-1], len(self.shared)

    def launch(self, function: str, arguments: Any, blocks: Any, threads: Any, shared: int) -> None:
        self.launched.append((function, [each.value for each in arguments], blocks))

    def capture(self) -> None:
        self.launched = []

    def node(self, arguments: Any) -> Any:
        return arguments

    def set(self, graph: int, node: Any) -> None:
        self.set_nodes.append([each.value for each in node])

    def captured(self) -> int:
        self.graphs.append(self.launched)
        return len(self.graphs) - 1

    def replay(self, graph: int) -> None:
        self.replayed.append(graph)

    def forget(self, graph: int) -> None:
        self.forgotten += 1

    def read(self, words: Any, address: int) -> None:
        self.reads.append(address)
        words[:] = np.arange(len(words), dtype=np.float32).view(np.int32)


@pytest.fixture
def device(nothing_compiled: None, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(module, "architecture", lambda: "sm_90")
    monkeypatch.setattr(module, "compile_text", lambda text, target: b"code")
    monkeypatch.setattr(module, "_finds_modules", lambda: True)
    monkeypatch.setattr(kernels, "multiprocessors", lambda: 132)
    monkeypatch.setattr(kernels, "shared_bytes", lambda: 232448)
    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", made.operation)
    monkeypatch.setattr(mx.fast, "cuda_kernel", lambda **_: None)
    monkeypatch.setattr(recorded, "driver", lambda: made)
    return made


def decoder(kernels: Registry, problem: Problem, layers: int) -> Decoder:
    """All its layers share their weights."""
    width, hidden = problem.heads.size * problem.heads.query, problem.hidden
    norm = problem.norm(hidden)
    layer = Layer(
        attention_norm=norm,
        qkv=problem.matrix(width + 2 * problem.heads.size * problem.heads.kv, hidden),
        output=problem.matrix(hidden, width),
        inner_norm=norm,
        gate_up=problem.matrix(2 * problem.inner, hidden),
        down=problem.matrix(hidden, problem.inner),
    ).tiled(kernels.tile)
    tied = problem.matrix(256, hidden)
    weights = Weights(tied, (layer,) * layers, norm, kernels.tile(tied))
    return Decoder(kernels, Tiling(), problem.heads, weights, frequency=problem.frequency(), eps=1e-5)


def make(kernels: Registry) -> Decoder:
    return decoder(kernels, PROBLEM, LAYERS)


@pytest.fixture
def replay(device: Device) -> Replay:
    recording = Recording(make)
    return Replay(recording, mx.zeros((LAYERS, 2, 3, 64, 17), dtype=mx.uint32))


@pytest.mark.parametrize("tokens", [1, 5])
def test_a_pass_is_five_launches_a_layer(device: Device, replay: Replay, tokens: int) -> None:
    replay.choose([3] * tokens, 7, 256)
    (graph,) = device.graphs
    assert Counter(name for name, _, _ in graph) == {
        "flash_begin": 1,
        "flash_embed": 1,
        **dict.fromkeys(("flash_qkv", "flash_attention", "flash_project", "flash_gate_up"), LAYERS),
        "flash_linear": LAYERS + 1,
        "flash_collect": 2,
        "flash_place": 1,
        "flash_choose": 1,
    }
    name, arguments, blocks = graph[-1]
    assert name == "flash_choose"
    assert arguments[-2:] == [tokens, 256]
    assert blocks == (tokens * kernels.CHOOSERS, 1, 1)


_OUTPUTS = {"flash_qkv": (9, 2), "flash_attention": (6, 2), "flash_project": (5, 1), "flash_gate_up": (5, 1)}
_OUTPUTS |= {"flash_linear": (6, 1), "flash_embed": (4, 1), "flash_collect": (17, 1), "flash_place": (3, 1)}
_OUTPUTS |= {"flash_begin": (1, 2), "flash_choose": (2, 3)}
"""Inputs of a launch, then outputs."""


def flow(graph: list[tuple[str, list[int], tuple[int, ...]]]) -> list[list[int | str]]:
    """For each launch, which one made each of its inputs last; the name where none did."""
    maker: dict[int, int] = {}
    found: list[list[int | str]] = []
    for number, (name, arguments, _) in enumerate(graph):
        inputs, outputs = _OUTPUTS[name]
        found.append([maker.get(x, "given") for x in arguments[:inputs]])
        maker |= dict.fromkeys(arguments[inputs : inputs + outputs], number)
    return found


def test_buffers_serve_again_when_nobody_reads_them(
    device: Device, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each launch reads what it would read if every launch had arrays of its own."""
    replay.choose([3], 7, 256)
    fresh = Replay(Recording(make), mx.zeros((LAYERS, 2, 3, 64, 17), dtype=mx.uint32))
    monkeypatch.setattr(recorded, "_UNHELD", -1)
    fresh.choose([3], 7, 256)
    few, many = ({x for _, arguments, _ in graph for x in arguments} for graph in device.graphs)
    assert flow(device.graphs[0]) == flow(device.graphs[1])
    assert len(few) < len(many) - 4 * LAYERS


def test_a_wide_pass(device: Device, replay: Replay) -> None:
    rows = replay.logits(list(range(64)), 0, 1)
    assert rows.shape == (1, 256)
    (graph,) = device.graphs
    counts = Counter(name for name, _, _ in graph)
    assert counts["flash_wide"] == 3 * LAYERS
    assert counts["flash_stage"] == 3 * LAYERS
    assert counts["flash_wide_gate_up"] == counts["flash_join"] == counts["flash_rotate"] == LAYERS


def test_tokens_go_on_by_themselves(device: Device, replay: Replay) -> None:
    """The first pass reads what the host gave, the others what was chosen; the host reads all of it."""
    given, chosen = device.shared
    chosen[:16] = range(100, 116)
    chosen[16:] = (-np.arange(16, dtype=np.float32)).view(np.int32)
    found = replay.choose([3, 4], 14, 256, passes=3)
    assert given[:2].tolist() == [3, 4]
    assert given[64:].tolist() == [14, 256]
    assert found == [(114, -14.0), (115, -15.0), (100, 0.0), (101, -1.0)]
    assert device.replayed == [0, 1, 1]
    first, second = device.graphs
    assert first[0][0] == "flash_begin"
    assert second[0][0] == "flash_embed"
    ids = first[0][1][1]
    assert first[1][1][0] == second[0][1][0] == first[-1][1][2] == ids


def test_a_pass_begins_when_its_tokens_are_known(device: Device, replay: Replay, monkeypatch: Any) -> None:
    """The host gives them, but where they are what the GPU would go on with."""
    given, chosen = device.shared
    written = []

    def run(graph: int) -> None:
        at = given[64] if graph != 1 else 16
        for place in range(at, at + 3):
            chosen[place % 16] = 100 + place
            chosen[16 + place % 16] = np.float32(-place).view(np.int32)
        written.append((graph, given[:3].tolist(), int(given[64])))

    monkeypatch.setattr(device, "replay", run)
    assert replay.start([3, 4], 14, 256) == [(114, -14.0), (115, -15.0)]
    assert replay.start([115], 16, 256) == [(116, -16.0)]
    assert replay.start([116, 9], 17, 256) == [(117, -17.0), (118, -18.0)]
    assert replay.start([117], 18, 256) == [(118, -18.0)]
    replay.finish()
    replay.start([118], 19, 256)
    assert [graph for graph, _, _ in written] == [0, 1, 0, 2, 2]
    assert [(tokens[0], position) for _, tokens, position in written] == [
        (3, 14),
        (3, 14),
        (116, 17),
        (117, 18),
        (118, 19),
    ]


def test_logits_of_the_last_tokens(device: Device, replay: Replay) -> None:
    rows = replay.logits([3, 4, 5], 0, 2)
    assert rows.shape == (2, 256)
    assert rows.dtype == np.float32
    head = [arguments for name, arguments, _ in device.graphs[0] if name == "flash_linear"][-1]
    assert device.reads == [head[_OUTPUTS["flash_linear"][0]] + 256 * 4]
    replay.logits([3, 4, 5], 0, 0)
    assert len(device.reads) == len(device.graphs) == 1


def test_another_cache_has_the_same_graph(device: Device, replay: Replay) -> None:
    """Of its launches, those that take the cache are set to the other, once it is another."""
    replay.logits([3], 7, 1)
    arrays = device.addresses
    another = Replay(replay._recording, mx.zeros(replay._cache.shape, dtype=mx.uint32))
    for _ in range(2):
        another.logits([3], 7, 1)
    assert device.addresses == arrays + 1
    (graph,) = device.graphs
    taking = [arguments for name, arguments, _ in graph if name in ("flash_attention", "flash_place")]
    assert len(device.set_nodes) == len(taking) == LAYERS + 1
    for before, after in zip(taking, device.set_nodes, strict=True):
        assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(replay._at, another._at)]
    replay.logits([3], 7, 1)
    assert device.set_nodes[LAYERS + 1 :] == taking


def test_a_cache_of_another_shape_has_graphs_of_its_own(device: Device, replay: Replay) -> None:
    replay.logits([3], 7, 1)
    Replay(replay._recording, mx.zeros((LAYERS, 2, 3, 128, 17), dtype=mx.uint32)).logits([3], 7, 1)
    assert len(device.graphs) == 2
    assert not device.set_nodes


def test_what_is_let_go(device: Device) -> None:
    """A cache, when its passes are; graphs, when the recording is."""
    recording = Recording(make)
    cache = mx.zeros((LAYERS, 2, 3, 64, 17), dtype=mx.uint32)
    Replay(recording, cache).choose([3], 7, 256)
    assert not any(x is cache for x, _ in recording._recorder._addresses.values())
    assert device.forgotten == 0
    del recording
    assert device.forgotten == 1


def test_a_driver_that_is_too_old_is_named() -> None:
    old = Driver.__new__(Driver)
    old._library = SimpleNamespace()  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"cuStreamGetCaptureInfo_v3: .* older than CUDA 12\.3"):
        old._call("cuStreamGetCaptureInfo_v3")


def test_what_has_no_matrix_units_is_not_recorded(device: Device) -> None:
    problem = Problem(dtype=mx.float32, hidden=128)
    recording = Recording(lambda kernels: decoder(kernels, problem, 1))
    with pytest.raises(RuntimeError, match="cannot be taken down"):
        Replay(recording, mx.zeros((1, 2, 2, 64, 17), dtype=mx.uint32)).choose([1], 0, 256)


@pytest.mark.skipif(NVCC is None, reason="needs nvcc, of the CUDA toolkit 12 or later")
@pytest.mark.parametrize("name", ["address", "begin", "choose", "place", "resident"])
def test_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found: list[str] = []

    def keep(text: str, target: str) -> bytes:
        found.append(text)
        return b""

    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "architecture", lambda: "sm_90")
    monkeypatch.setattr(module, "compile_text", keep)
    monkeypatch.setattr(module, "_finds_modules", lambda: True)
    texts.module.cache_clear()
    kernels.plain_module(name).compile()
    texts.module.cache_clear()
    source = tmp_path / "kernel.cu"
    source.write_text(found[0])
    command = [
        str(NVCC),
        "-cubin",
        "-std=c++17",
        "-fmad=false",
        "-arch=sm_90",
        "-o",
        str(tmp_path / "kernel.cubin"),
    ]
    made = subprocess.run([*command, str(source)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
