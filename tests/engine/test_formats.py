"""Hugging Face's folders in all their types, MLX's quantizations, adapters, quantization at load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from flash_engine import Checkpoint, ModelError, Quantization, QuantizedMatrix
from flash_engine.matrices import SUPPORTED, DenseMatrix, quantize
from flash_engine.shapes import matrix_shapes

from .architectures import make

UP = "model.layers.1.mlp.up_proj"


@pytest.mark.parametrize(
    ("dtype", "given"), [(torch.float32, "float32"), (torch.float16, "float16"), (torch.bfloat16, "float32")]
)
def test_types_and_shards(tmp_path: Path, dtype: torch.dtype, given: str) -> None:
    model = make("llama", tmp_path, dtype, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    matrix = Checkpoint(tmp_path).matrix(UP)
    assert isinstance(matrix, DenseMatrix)
    assert matrix.values.dtype == given
    np.testing.assert_array_equal(matrix.values, model.state_dict()[f"{UP}.weight"].numpy())


@pytest.mark.parametrize("quantization", SUPPORTED, ids=lambda q: f"{q.bits} bit, {q.group_size}")
def test_quantize_is_near_and_mlx_reads_it(quantization: Quantization) -> None:
    values = np.random.default_rng(0).normal(0, 0.02, (24, 256)).astype(np.float32)
    matrix = quantize(values, quantization)
    assert (matrix.shape, matrix.quantization) == (values.shape, quantization)
    step = (values.reshape(24, -1, quantization.group_size).max(-1) - values.min()) / (
        2**quantization.bits - 1
    )
    assert np.abs(matrix.dequantize() - values).max() <= step.max() * 0.52
    ours = [mx.array(part).astype(mx.float32) for part in (matrix.scales, matrix.biases)]
    theirs = mx.dequantize(
        mx.array(matrix.weight), *ours, group_size=quantization.group_size, bits=quantization.bits
    )
    np.testing.assert_allclose(matrix.dequantize(), theirs, atol=1e-6)


def test_constant_and_empty_groups() -> None:
    values = np.stack([np.zeros(64), np.full(64, 0.5)]).astype(np.float32)
    np.testing.assert_array_equal(quantize(values, Quantization(4, 32)).dequantize(), values)


def test_mixed_bits_by_layer_as_mlx_writes_them(tmp_path: Path) -> None:
    model = make("llama", tmp_path)
    tensors = {name: values.numpy() for name, values in model.state_dict().items()}
    special = {"model.layers.0.self_attn.v_proj": Quantization(8, 64), UP: None}
    stored: dict[str, Any] = {}
    for name, values in tensors.items():
        module = name.removesuffix(".weight")
        chosen = special.get(module, Quantization(4, 32))
        if values.ndim == 1 or chosen is None:
            stored[name] = mx.array(values)
            continue
        parts = mx.quantize(
            mx.array(values).astype(mx.bfloat16), group_size=chosen.group_size, bits=chosen.bits
        )
        stored |= dict(zip((name, f"{module}.scales", f"{module}.biases"), parts, strict=True))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), stored)
    raw = json.loads((tmp_path / "config.json").read_text())
    overrides = {name: vars_of(chosen) for name, chosen in special.items()}
    raw["quantization"] = {"bits": 4, "group_size": 32, **overrides}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    checkpoint = Checkpoint(tmp_path)
    for name in matrix_shapes(checkpoint.config):
        expected = special.get(name, Quantization(4, 32))
        assert checkpoint.quantization(name) == expected
        matrix = checkpoint.matrix(name)
        error = np.abs(matrix.dequantize() - tensors[f"{name}.weight"]).max()
        assert error < {None: 1e-7, 8: 0.02, 4: 0.1}[expected and expected.bits]


def vars_of(quantization: Quantization | None) -> Any:
    return quantization and {"bits": quantization.bits, "group_size": quantization.group_size}


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_at_load(tmp_path: Path, bits: int) -> None:
    make("qwen3_moe", tmp_path)
    kept, checkpoint = Checkpoint(tmp_path), Checkpoint(tmp_path, quantize=Quantization(bits, 32))
    for name in matrix_shapes(checkpoint.config):
        matrix = checkpoint.matrix(name)
        if name.endswith(".mlp.gate"):
            assert isinstance(matrix, DenseMatrix)
            continue
        assert isinstance(matrix, QuantizedMatrix)
        assert matrix.quantization == checkpoint.quantization(name) == Quantization(bits, 32)
        error = matrix.dequantize() - kept.matrix(name).dequantize()
        assert np.sqrt(np.mean(error**2)) < {4: 0.02, 8: 0.002}[bits]


def lora(tmp_path: Path, layout: str) -> tuple[Path, Any]:
    """A base model and an adapter of up_proj in layer 1: (the adapter's folder, the change [n, k])."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    make("llama", base)
    adapter.mkdir()
    rng = np.random.default_rng(1)
    down, up = rng.normal(0, 0.1, (4, 64)).astype(np.float32), rng.normal(0, 0.1, (96, 4)).astype(np.float32)
    if layout == "peft":
        config = {"base_model_name_or_path": str(base), "peft_type": "LORA", "r": 4, "lora_alpha": 8}
        prefix = f"base_model.model.{UP}"
        tensors = {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up}
        save_file(tensors, adapter / "adapter_model.safetensors")
        scale = 2.0
    else:
        config = {"model": str(base), "fine_tune_type": "lora", "lora_parameters": {"rank": 4, "scale": 20.0}}
        tensors = {f"{UP}.lora_a": np.ascontiguousarray(down.T), f"{UP}.lora_b": np.ascontiguousarray(up.T)}
        save_file(tensors, adapter / "adapters.safetensors")
        scale = 20.0
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return adapter, scale * up @ down


@pytest.mark.parametrize("layout", ["peft", "mlx"])
def test_adapter_is_merged(tmp_path: Path, layout: str) -> None:
    adapter, change = lora(tmp_path, layout)
    base, merged = Checkpoint(tmp_path / "base"), Checkpoint(adapter)
    for name in matrix_shapes(base.config):
        expected = base.matrix(name).dequantize() + (change if name == UP else 0)
        np.testing.assert_allclose(merged.matrix(name).dequantize(), expected, atol=1e-5)


def test_adapter_on_a_quantized_base(tmp_path: Path) -> None:
    adapter, change = lora(tmp_path, "peft")
    base = Checkpoint(tmp_path / "base")
    merged = Checkpoint(adapter, quantize=Quantization(8, 32)).matrix(UP)
    assert isinstance(merged, QuantizedMatrix)
    np.testing.assert_allclose(merged.dequantize(), base.matrix(UP).dequantize() + change, atol=0.01)


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        (
            {"base_model_name_or_path": "org/none"},
            {},
            r"adapter_config\.json.*'org/none', which is not a folder",
        ),
        ({"use_dora": True}, {}, "'use_dora' is True, which is not supported"),
        ({"rank_pattern": {"x": 8}}, {}, "'rank_pattern' is .*leave it empty"),
        ({}, {"base_model.model.lm_head.weight": (160, 64)}, r"lm_head\.weight is no part of a LoRA adapter"),
        (
            {},
            {f"base_model.model.{UP}.lora_B.weight": (90, 4)},
            r"is for a matrix of \[90, 64\], .* \[96, 64\]",
        ),
        (
            {},
            {
                "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": (4, 64),
                "base_model.model.model.layers.9.mlp.up_proj.lora_B.weight": (96, 4),
            },
            r"changes model\.layers\.9\.mlp\.up_proj, which the base model lacks",
        ),
        ({}, {"base_model.model.model.norm.lora_A.weight": (4, 64)}, "has one factor of two"),
    ],
)
def test_adapter_that_does_not_fit(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, tuple[int, int]], message: str
) -> None:
    adapter, _ = lora(tmp_path, "peft")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    file = adapter / "adapter_model.safetensors"
    changed = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    save_file({**load_file(file), **changed}, file)
    with pytest.raises(ModelError, match=message):
        Checkpoint(adapter)
