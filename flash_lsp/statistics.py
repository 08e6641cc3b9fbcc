"""Local statistics: counts by day and language in one SQLite file under the user's data folder. Never any text.

Nothing leaves the machine. `flash-lsp stats` shows them, `flash-lsp stats --delete` deletes them, the setting
`statistics` turns them off.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import platformdirs

SHOWN = "shown"
ACCEPTED = "accepted"
PARTIAL = "partially accepted"
KEPT = "kept after 30 s"
JUDGED = "accepted 30 s ago"
REQUESTS = "requests"
SILENCE = "silence:"
LATENCY = "latency:"

_STEP = 1.1
"""Ratio of neighbouring latency classes: percentiles are exact to 5 %."""

_SPECULATION = (
    "CREATE TABLE IF NOT EXISTS speculation (model TEXT PRIMARY KEY, day TEXT, figures TEXT NOT NULL)"
)

Key = tuple[str, str, str]
"""Day (ISO), language id, name of the count."""


def default_path() -> Path:
    """Where the statistics are kept."""
    return platformdirs.user_data_path("flash-lsp") / "statistics.sqlite3"


class Statistics:
    """Counts in memory until `flush`. Several servers may write to one file."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._counts: Counter[Key] = Counter()
        self._speculation: dict[str, str] = {}

    def count(self, language: str, name: str, amount: int = 1) -> None:
        """Add to a count of today."""
        self._counts[date.today().isoformat(), language, name] += amount

    def latency(self, language: str, ms: float) -> None:
        """Count a reply's time."""
        self.count(language, f"{LATENCY}{latency_class(ms)}")

    def speculation(self, model: str, figures: Mapping[str, Any]) -> None:
        """Keep what the controller of speculation knows of `model` (Controller.figures) in place of what it knew."""
        self._speculation[model] = json.dumps(figures)

    def flush(self) -> None:
        """Add the counts to the file. Raises OSError or sqlite3.Error; the counts then stay for the next time."""
        if not self._counts:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(*key, amount) for key, amount in self._counts.items()]
        with closing(sqlite3.connect(self.path, timeout=2.0)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS counts (day TEXT, language TEXT, name TEXT, amount INTEGER NOT NULL,"
                " PRIMARY KEY (day, language, name)) WITHOUT ROWID"
            )
            connection.executemany(
                "INSERT INTO counts VALUES (?, ?, ?, ?)"
                " ON CONFLICT (day, language, name) DO UPDATE SET amount = amount + excluded.amount",
                rows,
            )
            connection.execute(_SPECULATION)
            connection.executemany(
                "INSERT OR REPLACE INTO speculation VALUES (?, ?, ?)",
                [(model, date.today().isoformat(), figures) for model, figures in self._speculation.items()],
            )
        self.drop()

    def drop(self) -> None:
        """Forget what was not flushed."""
        self._counts.clear()
        self._speculation.clear()


def read(path: Path) -> Counter[Key]:
    """All counts of a file; none if there is no file. Raises sqlite3.Error if it is not a file of statistics."""
    if not path.exists():
        return Counter()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
        rows = connection.execute("SELECT day, language, name, amount FROM counts")
        return Counter({(day, language, name): amount for day, language, name, amount in rows})


def read_speculation(path: Path) -> dict[str, dict[str, Any]]:
    """What the controller of speculation knew last, by model: its figures and the `day`. Raises sqlite3.Error."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'speculation'").fetchone():
            return {}
        rows = connection.execute("SELECT model, day, figures FROM speculation ORDER BY day")
        return {model: {"day": day, **json.loads(figures)} for model, day, figures in rows}


def delete(path: Path) -> bool:
    """Delete a file of statistics; whether there was one. Raises OSError."""
    found = path.exists()
    for file in (path, *path.parent.glob(f"{path.name}-*")):
        file.unlink(missing_ok=True)
    return found


def latency_class(ms: float) -> int:
    """The number of the class that a time belongs to."""
    return round(math.log(max(ms, 0.01), _STEP))


def percentile(counts: Iterable[tuple[str, int]], share: float) -> float | None:
    """The time in ms below which `share` of the counted replies were; of (name, amount) counts, others ignored."""
    classes = sorted(
        (int(name[len(LATENCY) :]), amount) for name, amount in counts if name.startswith(LATENCY)
    )
    wanted = share * sum(amount for _, amount in classes)
    reached = 0
    for number, amount in classes:
        reached += amount
        if reached >= wanted:
            return float(_STEP**number)
    return None
