"""The self-test's results, remembered by device, version of MLX and text of the kernels."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import mlx.core as mx

from flash_metal import selftest
from flash_metal.launches import Tiling
from flash_metal.places import cache_folder
from flash_metal.registry import device_registry
from flash_metal.selftest import Result


def faults(dtype: mx.Dtype) -> dict[str, str]:
    """The kernels that must not be used on this device, and why; the test runs if it has not before."""
    return {result.kernel: result.fault for result in remembered(dtype) or test(dtype) if result.fault}


def remembered(dtype: mx.Dtype) -> list[Result]:
    """The results of an earlier test on this device with these texts; empty if there was none."""
    try:
        kept = json.loads(_file(dtype).read_text())
        return [Result(**{**result, "error": float(result["error"])}) for result in kept]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def test(dtype: mx.Dtype) -> list[Result]:
    """Test every kernel on this device, and remember the results."""
    results = list(selftest.run(device_registry(), Tiling(), dtype))
    kept = [
        {
            "kernel": result.kernel,
            "error": result.error if math.isfinite(result.error) else "inf",
            "tolerance": result.tolerance,
            "fault": result.fault,
        }
        for result in results
    ]
    file = _file(dtype)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1))
    return results


test.__test__ = False  # type: ignore[attr-defined]


def _file(dtype: mx.Dtype) -> Path:
    info = mx.device_info(mx.gpu)
    texts = hashlib.sha256()
    for folder in ("kernels", "nvidia/cu"):
        for file in sorted((files("flash_metal") / folder).iterdir(), key=lambda entry: entry.name):
            if file.is_file():
                texts.update(file.read_bytes())
    key = f"{info['device_name']} {version('mlx')} {dtype} {texts.hexdigest()}"
    return cache_folder() / "selftest" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
