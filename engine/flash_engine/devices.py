"""How much memory a device can give to models."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import psutil

_GPU_SHARE = 0.9
"""Of a GPU's memory; the rest is for its driver and the screen."""

_HOST_SHARE = 0.9
"""Of the memory that is free now; the rest keeps the system from swapping."""

_CGROUP = Path("/sys/fs/cgroup")


def working_set(device: str) -> int:
    """Bytes that models may take on a resolved device: Metal's recommended working set, a share of a GPU's memory, or
    of the host's that is free now (within the limit of a container)."""
    if device == "mlx":
        mx = import_module("mlx.core")
        if mx.metal.is_available():
            return int(mx.device_info()["max_recommended_working_set_size"])
        total = mx.device_info().get("total_memory")
        if mx.cuda.is_available() and total:
            return int(total * _GPU_SHARE)
    return int(min(psutil.virtual_memory().available, container_room(_CGROUP)) * _HOST_SHARE)


def container_room(group: Path) -> float:
    """Bytes left under the memory limit of the control group (cgroup v2) in `group`; infinite without one.

    Its file cache can be dropped and counts as room.
    """
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return (
            float("inf") if limit == "max" else max(int(limit) - used + int(kinds.get("inactive_file", 0)), 0)
        )
    except (OSError, ValueError):
        return float("inf")
