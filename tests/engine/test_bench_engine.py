"""The bench of the CPU engine: what it counts adds up, and its picture is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from flash_engine import ModelConfig
from flash_engine.config import LatentAttention, MixtureOfExperts
from flash_lsp.bench import plots
from flash_lsp.bench.random_model import SHAPES, RandomCheckpoint

from .made_up import config_of

bench = pytest.importorskip("flash_lsp.bench.engine", reason="flash_engine._native is not built")


EXPERTS = MixtureOfExperts(layers=(1,), experts=16, experts_per_token=2, intermediate_size=64)
LATENT = LatentAttention(query_rank=64, kv_rank=64, nope_dim=64, rope_dim=64, value_dim=64)


@pytest.mark.parametrize(
    "config",
    [
        config_of(max_positions=2048, tie_embeddings=False),
        config_of(max_positions=2048, moe=EXPERTS, mla=LATENT, head_dim=64, num_kv_heads=4),
    ],
    ids=["llama", "experts, latent attention"],
)
def test_operations_add_up_to_the_model(tmp_path: Path, config: ModelConfig) -> None:
    figures = bench.run(RandomCheckpoint("tiny", config), threads=[2], rounds=1)
    (run,) = figures["threads"]
    for m in (1, 8):
        parts = [each for each in run["operations"] if each["tokens"] == m]
        weights = [each for each in parts if each["products"] and each["operation"] != "attention"]
        assert sum(each["products"] for each in weights) == m * bench.token_products(config)
        assert sum(each["bytes"] for each in weights) == pytest.approx(run["limits"]["weight_mb"] * 1e6)
        assert all(each["ms"] > 0 for each in parts)
    assert run["v8"] > 0
    assert 1 <= run["v8_limit"] <= 8 * 1.01  # the last tokens of a pass see those before
    pytest.importorskip("matplotlib")
    plots.roofline(figures, tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("shape", "parameters"), [("deepseek-1.3b", 1.28e9), ("deepseek-6.7b", 6.61e9)])
def test_shapes_have_the_size_in_their_names(shape: str, parameters: float) -> None:
    assert bench.token_products(SHAPES[shape]) == pytest.approx(parameters, rel=0.01)
