"""The self-test's results, remembered by device, version of MLX, text of the kernels and tiling."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mlx.core as mx

from flash_metal import selftest
from flash_metal.launches import Tiling
from flash_metal.places import kept
from flash_metal.registry import device_registry
from flash_metal.selftest import Result


def faults(dtype: mx.Dtype, tiling: Tiling) -> dict[str, str]:
    """The kernels that must not be used on this device, and why; the test runs if it has not before."""
    return {
        result.kernel: result.fault
        for result in remembered(dtype, tiling) or test(dtype, tiling)
        if result.fault
    }


def remembered(dtype: mx.Dtype, tiling: Tiling) -> list[Result]:
    """The results of an earlier test on this device with these texts; empty if there was none."""
    try:
        found = json.loads(_file(dtype, tiling).read_text())
        return [Result(**{**result, "error": float(result["error"])}) for result in found]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def test(dtype: mx.Dtype, tiling: Tiling) -> list[Result]:
    """Test every kernel on this device, and remember the results."""
    results = list(selftest.run(device_registry(), tiling, dtype))
    written = [
        {
            "kernel": result.kernel,
            "error": result.error if math.isfinite(result.error) else "inf",
            "tolerance": result.tolerance,
            "fault": result.fault,
        }
        for result in results
    ]
    file = _file(dtype, tiling)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(written, indent=1))
    return results


test.__test__ = False  # type: ignore[attr-defined]


def _file(dtype: mx.Dtype, tiling: Tiling) -> Path:
    return kept("selftest", str(mx.device_info(mx.gpu)["device_name"]), dtype, tiling)
