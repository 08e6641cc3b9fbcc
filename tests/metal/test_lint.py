"""The lint flags every bad snippet of lint.toml and no good one; our kernels pass it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import mlx.core as mx
import pytest

from flash_metal.launches import Heads, Tiling
from flash_metal.problem import ERRORS, Problem
from flash_metal.registry import Registry
from offmac.capture import Captured, Recorder
from offmac.lint import CLANG, lint

pytestmark = pytest.mark.skipif(CLANG is None, reason="the lint needs clang-19 (apt-get install clang-19)")

KERNEL = """{header}
[[kernel]] void k(
  const device float* x [[buffer(0)]],
  const constant float* c [[buffer(1)]],
  const device float16_t* hx [[buffer(2)]],
  const constant int32_t& n [[buffer(3)]],
  device float* o [[buffer(4)]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 thread_position_in_grid [[thread_position_in_grid]]) {{
uint i = thread_position_in_grid.x;
{body}
}}
"""
CORPUS = tomllib.loads((Path(__file__).parent / "lint.toml").read_text("utf-8"))
KNOWN_GAPS = {"bfloat + half"}  # clang's __bf16 + half goes through float


def complaints(snippet: dict[str, str]) -> list[str]:
    text = KERNEL.format(header=snippet.get("header", ""), body=snippet["body"])
    return lint(Captured("k", text))


@pytest.mark.parametrize("snippet", CORPUS["bad"], ids=lambda s: s["name"])
def test_bad(snippet: dict[str, str], request: pytest.FixtureRequest) -> None:
    if snippet["name"] in KNOWN_GAPS:
        request.applymarker(pytest.mark.xfail(strict=True))
    assert complaints(snippet)


@pytest.mark.parametrize("snippet", CORPUS["good"], ids=lambda s: s["name"])
def test_good(snippet: dict[str, str]) -> None:
    assert complaints(snippet) == []


@pytest.mark.parametrize("launch", ERRORS)
@pytest.mark.parametrize(
    "problem",
    [
        Problem(),
        Problem(tokens=8, dtype=mx.bfloat16, bits=8, group=32, bias=True, head_norm=True),
        Problem(Heads(8, 8, 128), hidden=1024, inner=2816, tokens=4, tiling=Tiling(split=1, splits=1)),
        Problem(Heads(4, 1, 96), tokens=2, head_norm=True),
    ],
    ids=["one", "eight", "wide", "96"],
)
def test_ours(launch: str, problem: Problem) -> None:
    recorder = Recorder()
    ERRORS[launch](problem, Registry(recorder))
    assert recorder.captured
    assert [complaint for captured in recorder.captured for complaint in lint(captured)] == []
