"""RoPE's frequencies against transformers'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flash_metal.rope import frequencies

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "scaling", [None, {"type": "linear", "factor": 4.0}, LLAMA3], ids=["none", "linear", "llama3"]
)
def test_like_transformers(scaling: dict[str, Any] | None) -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=512,
        num_attention_heads=4,
        max_position_embeddings=131072,
        rope_parameters={"rope_theta": 500000.0, **(scaling or {"rope_type": "default"})},
    )
    want = LlamaRotaryEmbedding(config).inv_freq.numpy()
    np.testing.assert_allclose(frequencies(128, 500000.0, scaling), want, rtol=1e-5)


def test_unknown_scaling() -> None:
    with pytest.raises(ValueError, match="'yarn' is not supported"):
        frequencies(128, 10000.0, {"rope_type": "yarn", "factor": 2.0})
