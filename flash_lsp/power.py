"""Whether to spare the battery: then nothing is decoded that no request waits for."""

from __future__ import annotations

import psutil
from cachetools import TTLCache, cached


def saving(setting: str) -> bool:
    """Whether to spare energy under the setting "on", "off" or "auto", which spares on battery."""
    return setting == "on" or (setting == "auto" and on_battery())


@cached(TTLCache(maxsize=1, ttl=60))
def on_battery() -> bool:
    """Whether the machine runs on its battery; looked up once a minute."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return battery is not None and battery.power_plugged is False
