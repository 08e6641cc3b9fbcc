"""Engine against llama.cpp on this machine's CPU, interleaved: `flash-lsp bench peers --cpu`.

The peer is llama-cpp-python, built from source by this bench in an environment of its own under a folder that the
caller names (it asks pip for the source once; that is the network the user asks for with `--cpu`), one build for
each instruction set. The bundled checkpoint is written as GGUF twice: Q4_1, which holds exactly the same numbers, and
pure Q4_0, llama.cpp's fastest format; a GGUF file of the user's is what both engines load as it is. Each figure of the
peer is the best of its formats and of flash attention on and off.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash_engine import gguf_export
from flash_engine.backends.native import ISA_VARIABLE
from flash_lsp.bench.machine import machine

HERE = Path(__file__).parent
PEER = "llama-cpp-python==0.3.36"
BUILDS = {
    "": "",
    "avx2": "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF",
}
"""By instruction set (this engine's FLASH_ISA), the options that hold llama.cpp to it; "": what the machine has."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing to time: a request of the line protocol, and how many tokens its milliseconds cover."""

    key: str
    depth: int
    request: dict[str, Any]
    tokens: int


def measurements() -> list[Measurement]:
    def one_pass(key: str, depth: int, tokens: int, logits: int) -> Measurement:
        return Measurement(
            key, depth, {"op": "pass", "tokens": tokens, "logits": logits, "depth": depth}, tokens
        )

    return [
        Measurement("decode_depth0", 0, {"op": "decode", "tokens": 64, "depth": 0}, 64),
        one_pass("prefill128", 0, 128, 1),
        one_pass("prefill512", 0, 512, 1),
        Measurement("decode_depth1024", 1024, {"op": "decode", "tokens": 64, "depth": 1024}, 64),
        *(one_pass(f"pass{m}", 1024, m, m) for m in (1, 2, 3, 4, 6, 8, 12, 16)),
    ]


def build(cache: Path, isa: str, say: Callable[[str], None]) -> Path:
    """The python of the peer built for `isa` under `cache`, which is made unless it is there."""
    folder = cache / (f"llama-venv-{isa}" if isa else "llama-venv")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not is_ready(python):
        say(f"building {PEER} from source (about ten minutes, once) ...")
        venv.create(folder, with_pip=True, clear=True)
        # Without pip's cache, which would give the wheel of another build.
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        environment = os.environ | {"CMAKE_ARGS": f"{BUILDS[isa]} -DLLAVA_BUILD=OFF"}
        subprocess.run([*pip, "--no-binary", "llama-cpp-python", PEER], check=True, env=environment)
    return python


def convert(cache: Path, folder: Path, python: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """The GGUF files of the model in `folder`, by format, written under `cache` unless they are there."""
    files = {"Q4_1": cache / f"{folder.name}-q4_1.gguf", "Q4_0": cache / f"{folder.name}-q4_0.gguf"}
    if not files["Q4_1"].exists():
        say("writing the bundled checkpoint as GGUF ...")
        partial = files["Q4_1"].with_suffix(".part")
        gguf_export.export(folder, partial, progress=lambda layer, share: None)
        partial.rename(files["Q4_1"])
    if not files["Q4_0"].exists():
        with worker([python, HERE / "llama_worker.py"]) as ask:
            partial = files["Q4_0"].with_suffix(".part")
            ask(op="quantize", model=str(files["Q4_1"]), out=str(partial))
            partial.rename(files["Q4_0"])
    return files


def is_ready(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import llama_cpp, numpy"], capture_output=True).returncode == 0


@contextmanager
def worker(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Iterator[Callable[..., dict[str, Any]]]:
    """A process that speaks the line protocol; yields a function that asks it one request."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        pipe_in, pipe_out = process.stdin, process.stdout

        def ask(**request: Any) -> dict[str, Any]:
            pipe_in.write(json.dumps(request) + "\n")
            pipe_in.flush()
            line = pipe_out.readline()
            if not line:
                raise RuntimeError(f"{command[-1]} ended while it was asked {request['op']!r}")
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield ask
        pipe_in.close()


def run(
    model: Path,
    cache: Path,
    *,
    isa: str = "",
    threads: int = 2,
    rounds: int = 5,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time both engines in turn, `rounds` times: {"ours_ms", "peer_ms", "peer_variant", "ratio_*", "spread_*"}, and
    "limits", "limit_share" and "v8_limit" as flash_lsp.bench.engine measures them, here before the first round, beside
    "v8" of the rounds.

    model: a folder, or a GGUF file. isa: of BUILDS; both engines are held to it.

    Times are medians of the rounds in milliseconds; a ratio is peer / ours of the medians (above 1: ours is faster),
    its spread the smallest and largest ratio of one round against the peer's best variant.
    """
    cache.mkdir(parents=True, exist_ok=True)
    python = build(cache, isa, say)
    files = {model.stem: model} if model.is_file() else convert(cache, model, python, say)
    variants = [(kind, flash) for kind in files for flash in (False, True)]
    with ExitStack() as stack:
        command = [sys.executable, "-m", "flash_lsp.bench.peers.flash_worker"]
        ours = stack.enter_context(worker(command, os.environ | {ISA_VARIABLE: isa}))
        backend = ours(op="load", model=str(model), threads=threads)["backend"]
        limits = ours(op="limits")
        peers: dict[str, Callable[..., dict[str, Any]]] = {}
        for kind, flash in variants:
            ask = stack.enter_context(worker([python, HERE / "llama_worker.py"]))
            ask(op="load", model=str(files[kind]), threads=threads, flash=flash)
            peers[f"{kind}{' flash attention' if flash else ''}"] = ask
        everyone = {"ours": ours, **peers}
        times: dict[str, dict[str, list[float]]] = {name: {} for name in everyone}
        depth = -1
        for wanted in measurements():
            say(f"{wanted.key} ...")
            if wanted.depth != depth:
                depth = wanted.depth
                for ask in everyone.values():
                    ask(op="fill", depth=depth)
            for ask in everyone.values():
                ask(**wanted.request)
            for _ in range(rounds):
                for name, ask in everyone.items():
                    times[name].setdefault(wanted.key, []).append(ask(**wanted.request)["ms"])
    where = machine()
    return {
        "model": model.stem,
        "machine": f"{where['processor']}, {' '.join(where['cpu_features'])}",
        "backend": backend,
        "isa": isa,
        "rounds": rounds,
        **limits,
        **summary(times),
    }


def summary(times: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    result: dict[str, Any] = {"ours_ms": {}, "peer_ms": {}, "peer_variant": {}, "tokens": {}}
    for wanted in measurements():
        ours = times["ours"][wanted.key]
        best = min((n for n in times if n != "ours"), key=lambda n: statistics.median(times[n][wanted.key]))
        peer = times[best][wanted.key]
        result["ours_ms"][wanted.key] = statistics.median(ours)
        result["peer_ms"][wanted.key] = statistics.median(peer)
        result["peer_variant"][wanted.key] = best
        result["tokens"][wanted.key] = wanted.tokens
        result[f"ratio_{wanted.key}"] = statistics.median(peer) / statistics.median(ours)
        pairs = [p / o for p, o in zip(peer, ours, strict=True)]
        result[f"spread_{wanted.key}"] = [min(pairs), max(pairs)]
    result["v8"] = result["ours_ms"]["pass8"] / result["ours_ms"]["pass1"]
    return result
