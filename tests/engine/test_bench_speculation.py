"""The bench of speculation: all sessions write the same, and what it counts adds up."""

from __future__ import annotations

import pytest

from flash_engine import Engine
from flash_lsp.bench import speculation as bench
from flash_lsp.bench.quality import standard_library


@pytest.mark.bundled
def test_every_workload_is_written_alike_by_all_sessions() -> None:
    with Engine.load(device="native", context=1024) as engine:
        figures = bench.run(engine, standard_library(), draft="auto", count=1, progress=lambda *_: None)
    for name in bench.WORKLOADS:
        workload = figures["workloads"][name]
        assert workload["equal"] == workload["cases"] == 1
        assert 0 < workload["tokens"] <= bench.MAX_TOKENS
        assert figures[f"speedup_{name}"] == pytest.approx(
            workload["tokens_per_s"] / workload["plain_tokens_per_s"]
        )
        assert workload["plain_against_plain"] > 0
        assert sum(workload["accepted"].values()) <= sum(workload["drafted"].values())
