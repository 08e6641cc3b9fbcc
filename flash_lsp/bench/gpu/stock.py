"""MLX's stock path: the llama of mlx-lm, with its own cache."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import mlx.core as mx

from flash_lsp.bench.gpu.measure import Stepping
from flash_lsp.bench.gpu.shapes import EPS, FACTOR, GROUP, THETA, Shape


class Stock(Stepping):
    """mlx_lm.models.llama with random int4 weights and a 16-bit cache. Raises ImportError without mlx-lm."""

    def __init__(self, shape: Shape, dtype: mx.Dtype) -> None:
        llama = import_module("mlx_lm.models.llama")
        args = llama.ModelArgs.from_dict(
            {
                "model_type": "llama",
                "vocab_size": shape.vocabulary,
                "hidden_size": shape.hidden,
                "num_hidden_layers": shape.layers,
                "intermediate_size": shape.inner,
                "num_attention_heads": shape.heads.query,
                "num_key_value_heads": shape.heads.kv,
                "rms_norm_eps": EPS,
                "rope_theta": THETA,
                "rope_scaling": {"type": "linear", "factor": FACTOR},
                "max_position_embeddings": 16384,
                "tie_word_embeddings": False,
            }
        )
        self._shape, self._dtype = shape, dtype
        self._model = llama.Model(args)
        self._model.set_dtype(dtype)
        for layer in self._model.model.layers:
            self._quantize(layer)
        self._quantize(self._model)
        self._model.eval()
        mx.clear_cache()

    def start(self, length: int) -> None:
        shape = (1, self._shape.heads.kv, length, self._shape.heads.size)
        self._cache = [self._new_cache() for _ in range(self._shape.layers)]
        for cache in self._cache if length else []:
            cache.update_and_fetch(*(mx.random.normal(shape).astype(self._dtype) for _ in range(2)))
            mx.eval(cache.state)

    def step(self, tokens: mx.array) -> mx.array:
        return mx.argmax(self._model(tokens[None], cache=self._cache)[:, -1], axis=-1)

    @staticmethod
    def _new_cache() -> Any:
        return import_module("mlx_lm.models.cache").KVCache()

    @staticmethod
    def _quantize(module: Any) -> None:
        import_module("mlx.nn").quantize(module, group_size=GROUP, bits=4)
        mx.eval(module.parameters())
