"""The machine a figure was measured on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import psutil

_FEATURES = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, its features that matter for int4 kernels, cores, memory, system and Python."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cpu_features": cpu_features(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory_gb": psutil.virtual_memory().total / 1e9,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def cpu_features() -> list[str]:
    """What Linux reports of the vector extensions in use here; empty where /proc/cpuinfo does not exist."""
    present = set(f"{_cpuinfo('flags')} {_cpuinfo('Features')}".split())
    return [feature for feature in _FEATURES if feature in present]


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    values = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in values if name.strip() == field), "")
