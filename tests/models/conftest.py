from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from flash_engine import bundled


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models, in a folder of the test's own."""
    folder = tmp_path / "models"
    monkeypatch.setenv("FLASH_LSP_MODELS", str(folder))
    return folder


@pytest.fixture(scope="session")
def sixteen_bit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random llama with the bundled tokenizer, as transformers writes it in float16."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("16bit") / "tiny-llama"
    config = LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=8, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.float16).save_pretrained(folder)
    source = bundled.root() / bundled.MAIN
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder
