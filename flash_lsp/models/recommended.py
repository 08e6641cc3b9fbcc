"""Models worth pulling, with what they take; numbers from their published config.json and cards."""

from __future__ import annotations

from dataclasses import dataclass

from flash_engine.memory import Footprint, footprint


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model on the hub."""

    repository: str
    license: str
    parameters: int
    shape: dict[str, int]
    """Arguments of flash_engine.memory.footprint."""
    note: str

    @property
    def footprint(self) -> Footprint:
        """In 4 bit, group 64."""
        return footprint(self.parameters, **self.shape)

    @property
    def download(self) -> int:
        """Bytes at 16 bit a weight."""
        return 2 * self.parameters


def _shape(
    layers: int, hidden: int, ffn: int, kv_heads: int, head_dim: int, vocab: int, positions: int
) -> dict[str, int]:
    return {
        "layers": layers, "hidden": hidden, "ffn": ffn, "kv_heads": kv_heads, "head_dim": head_dim, "vocab": vocab,
        "positions": positions,
    }  # fmt: skip


RECOMMENDED = (
    Recommended(
        "Qwen/Qwen2.5-Coder-0.5B", "Apache-2.0", 494_000_000,
        _shape(24, 896, 4864, 2, 64, 151_936, 32_768), "small CPUs; draft for the larger Qwen2.5-Coder",
    ),
    Recommended(
        "Qwen/Qwen2.5-Coder-1.5B", "Apache-2.0", 1_544_000_000,
        _shape(28, 1536, 8960, 2, 128, 151_936, 32_768), "laptops",
    ),
    Recommended(
        "deepseek-ai/deepseek-coder-1.3b-base", "DeepSeek licence", 1_346_000_000,
        _shape(24, 2048, 5504, 16, 128, 32_256, 16_384), "laptops; draft for the 6.7B",
    ),
    Recommended(
        "bigcode/starcoder2-3b", "BigCode OpenRAIL-M", 3_030_000_000,
        _shape(30, 3072, 12_288, 2, 128, 49_152, 16_384), "many languages",
    ),
    Recommended(
        "deepseek-ai/deepseek-coder-6.7b-base", "DeepSeek licence", 6_740_000_000,
        _shape(32, 4096, 11_008, 32, 128, 32_256, 16_384), "GPUs and Macs of 16 GB",
    ),
    Recommended(
        "Qwen/Qwen2.5-Coder-7B", "Apache-2.0", 7_615_000_000,
        _shape(28, 3584, 18_944, 4, 128, 152_064, 32_768), "GPUs and Macs of 16 GB",
    ),
    Recommended(
        "deepseek-ai/DeepSeek-Coder-V2-Lite-Base", "DeepSeek licence", 15_706_000_000,
        _shape(27, 2048, 10_944, 16, 160, 102_400, 163_840) | {"active": 2_661_000_000},
        "16 GB of memory; a sixth of it a token",
    ),
    Recommended(
        "Qwen/Qwen3-Coder-30B-A3B-Instruct", "Apache-2.0", 30_532_000_000,
        _shape(48, 2048, 6144, 4, 128, 151_936, 262_144) | {"active": 3_352_000_000},
        "32 GB of memory; a ninth of it a token",
    ),
)  # fmt: skip
