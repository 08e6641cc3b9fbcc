"""The self-test passes sound kernels and names unsound ones."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from flash_metal import selftest
from flash_metal.launches import Tiling
from flash_metal.registry import Registry, device_registry
from offmac import host

pytestmark = pytest.mark.skipif(bool(host.MISSING), reason=host.MISSING)


def faults(*edits: tuple[str, str]) -> dict[str, str]:
    def factory(*, source: str, **make: Any) -> Any:
        for old, new in edits:
            source = source.replace(old, new)
        return host.kernel(source=source, orders=1, **make)

    results = selftest.run(Registry(factory), Tiling(), mx.float16)
    return {result.kernel: result.fault for result in results if result.fault}


def test_sound() -> None:
    assert faults() == {}


def test_faults() -> None:
    found = faults(
        ("1.0f + exp(-g)", "2.0f + exp(-g)"),
        ("const bool from_low", "const bool from low"),
        ("Y(fma(sum,inverse", "Y(fma(sum,M==1 ? 1.0005f * inverse : inverse"),
    )
    assert "error" in found.pop("quantize")
    assert found.pop("gate_up") == "results are wrong"
    assert found == dict.fromkeys(("down", "head"), "a token's result depends on the pass it is in")


@pytest.mark.skipif(mx.metal.is_available() or mx.cuda.is_available(), reason="MLX has a GPU here")
def test_no_gpu() -> None:
    with pytest.raises(RuntimeError, match="use the native backend"):
        device_registry()
