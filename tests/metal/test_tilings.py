"""Every chip has a tiling, and every tiling in use fits what it is used for."""

from __future__ import annotations

import mlx.core as mx
import pytest

from flash_metal import selftest, tilings
from flash_metal.launches import Heads, Tiling
from flash_metal.tilings import SMALLEST, TABLE, Sizes

DEEPSEEK = Sizes(Heads(32, 32, 128), 4096, 11008, 32256, 32)
BUNDLED = Sizes(Heads(9, 3, 64), 576, 1536, 49152, 30)
QWEN = Sizes(Heads(12, 2, 128), 1536, 8960, 151936, 28)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("applegpu_g13g", TABLE[13, "base"]),
        ("applegpu_g14s", TABLE[13, "large"]),
        ("applegpu_g14d", TABLE[13, "large"]),
        ("applegpu_g15g", TABLE[15, "base"]),
        ("applegpu_g16s", TABLE[15, "large"]),
        ("applegpu_g17g", TABLE[17, "base"]),
        ("applegpu_g21d", TABLE[17, "large"]),
        ("applegpu_g12p", TABLE[13, "base"]),
        ("sm_90", Tiling()),
        ("", Tiling()),
    ],
)
def test_of_chip(architecture: str, expected: Tiling) -> None:
    assert tilings.of_chip({"architecture": architecture}) == expected
    assert tilings.of_chip({}) == Tiling()


@pytest.mark.parametrize("tiling", [*TABLE.values(), SMALLEST, Tiling()])
def test_all_fit(tiling: Tiling) -> None:
    for problem in selftest.problems(tiling, mx.float16):
        assert Sizes(problem.heads, problem.hidden, problem.inner, problem.inner, 1).fit(tiling)
    assert all(sizes.fit(tiling) for sizes in (DEEPSEEK, BUNDLED, QWEN))


def test_what_does_not_fit() -> None:
    narrow = Sizes(Heads(4, 4, 64), hidden=16, inner=16, vocabulary=16, layers=1)
    assert narrow.fit(SMALLEST)
    assert not narrow.fit(Tiling())
    assert tilings.default({"architecture": "applegpu_g17s"}, narrow) == SMALLEST
    many = Sizes(Heads(128, 8, 128), 16384, 53248, 128256, 126)
    assert not many.fit(TABLE[17, "large"])
    assert tilings.default({"architecture": "applegpu_g17s"}, many) == Tiling()
    assert not DEEPSEEK.fit(Tiling(split=3))
