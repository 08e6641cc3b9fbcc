from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from flash_engine import Checkpoint, ModelError, QuantizedMatrix, architectures
from flash_engine.fields import Fields
from flash_engine.rope import Linear, Rope

from .tiny import Shape, write_checkpoint

UP = "model.layers.1.mlp.up_proj"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path)


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **changes}))


def test_tensors_as_stored(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    matrix = Checkpoint(folder).matrix(UP)
    for part in ("weight", "scales", "biases"):
        values = getattr(matrix, part)
        assert values.dtype == stored[f"{UP}.{part}"].dtype
        assert not values.flags.writeable
        np.testing.assert_array_equal(values, stored[f"{UP}.{part}"])


@pytest.mark.parametrize("group", [32, 64])
def test_dequantized_as_mlx_does(tmp_path: Path, group: int) -> None:
    matrix = Checkpoint(write_checkpoint(tmp_path, Shape(group=group))).matrix(UP)
    assert isinstance(matrix, QuantizedMatrix)
    scales, biases = (mx.array(part).astype(mx.float32) for part in (matrix.scales, matrix.biases))
    expected = mx.dequantize(mx.array(matrix.weight), scales, biases, group_size=group, bits=4)
    np.testing.assert_allclose(matrix.dequantize(), expected, atol=1e-6)


def test_bfloat16_becomes_float32(folder: Path) -> None:
    values = mx.array([1.0, -2.5, 3.140625, 1e30] * 16, dtype=mx.bfloat16)
    tensors = dict(mx.load(str(folder / "model.safetensors")), **{"model.norm.weight": values})
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    np.testing.assert_array_equal(Checkpoint(folder).vector("model.norm.weight"), values.astype(mx.float32))


def test_several_files(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    for part, chosen in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in chosen}, folder / f"model-{part}-of-2.safetensors")
    (folder / "model.safetensors").unlink()
    checkpoint = Checkpoint(folder)
    for name in names:
        module, _, part = name.rpartition(".")
        stored = (
            checkpoint.vector(name) if tensors[name].ndim == 1 else getattr(checkpoint.matrix(module), part)
        )
        np.testing.assert_array_equal(stored, tensors[name])


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        Checkpoint(folder)


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 5_000, -1])
def test_truncated(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"model\.safetensors is truncated or not safetensors"):
        Checkpoint(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"{]",
        b"[]",
        b'{"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}',
        b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 8]}}',
        b'{"x": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}',
        b'{"x": {"dtype": "F32", "shape": [2]}}',
        b'{"x": 5}',
    ],
)
def test_damaged_header(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ModelError, match="truncated or not safetensors"):
        Checkpoint(folder)


def test_missing_tensor(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.pop(f"{UP}.scales"))
    with pytest.raises(ModelError, match=rf"model\.safetensors has no tensor {UP}\.scales"):
        Checkpoint(folder)


def test_wrong_shape(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({f"{UP}.weight": tensors[f"{UP}.weight"][:-1]}))
    with pytest.raises(ModelError, match=rf"{UP}\.weight has shape \[127, 8\], .* \[128, 8\]"):
        Checkpoint(folder)


def test_wrong_type(folder: Path) -> None:
    edit_tensors(
        folder, lambda tensors: tensors.update({f"{UP}.weight": tensors[f"{UP}.weight"].astype(np.int32)})
    )
    with pytest.raises(ModelError, match=rf"{UP}\.weight is I32, not U32"):
        Checkpoint(folder)


@pytest.mark.parametrize("part", ["scales", "biases"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scale_that_is_not_finite(folder: Path, part: str, value: float) -> None:
    def poison(tensors: dict[str, Any]) -> None:
        tensors[f"{UP}.{part}"][3, 1] = value

    edit_tensors(folder, poison)
    checkpoint = Checkpoint(folder)
    with pytest.raises(
        ModelError, match=rf"model\.safetensors: tensor {UP}\.{part} holds a NaN or an infinity"
    ):
        checkpoint.matrix(UP)


def test_norm_that_is_not_finite(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors["model.norm.weight"].fill(np.nan))
    with pytest.raises(ModelError, match=r"model\.norm\.weight holds a NaN"):
        Checkpoint(folder).vector("model.norm.weight")


def test_quantized_without_saying_how(folder: Path) -> None:
    edit_config(folder, quantization=None)
    with pytest.raises(
        ModelError, match=r"config\.json: field 'quantization' is missing, but .* is quantized"
    ):
        Checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, r"'model_type' is 'mamba', which is not supported"),
        ({"hidden_act": "gelu"}, r"'hidden_act' is 'gelu', which is not supported"),
        ({"mlp_bias": 3}, r"'mlp_bias' is 3, not true or false"),
        (
            {"rope_scaling": {"rope_type": "longrope", "factor": 4}},
            r"'rope_scaling\.rope_type' is 'longrope'",
        ),
        ({"rope_scaling": {"type": "linear"}}, r"'rope_scaling\.factor' is missing"),
        ({"quantization": {"bits": 3, "group_size": 64}}, r"'quantization\.bits' is 3 in groups of 64"),
        ({"quantization": {"bits": 4, "group_size": 16}}, r"'quantization\.bits' is 4 in groups of 16"),
        ({"quantization": {"quant_method": "gptq"}}, r"'quantization\.quant_method' is 'gptq'"),
        (
            {"quantization": {"bits": 4, "group_size": 64, "mode": "mxfp4"}},
            r"'quantization\.mode' is 'mxfp4'",
        ),
        ({"quantization": 4}, r"'quantization' is 4, not a JSON object"),
        ({"hidden_size": None}, r"'hidden_size' is missing"),
        ({"hidden_size": "many"}, r"'hidden_size' is 'many', not a positive whole number"),
        ({"num_attention_heads": 0}, r"'num_attention_heads' is 0, not a positive"),
        ({"num_key_value_heads": 3}, r"'num_key_value_heads' does not divide the 4 attention heads"),
        ({"head_dim": 33}, r"'head_dim' is 33: rotary embedding needs an even number"),
        ({"rms_norm_eps": "x"}, r"'rms_norm_eps' is 'x', not a positive number"),
        ({"rope_theta": float("nan")}, r"'rope_theta' is nan"),
        ({"tie_word_embeddings": 1}, r"'tie_word_embeddings' is 1, not true or false"),
        ({"eos_token_id": ["</s>"]}, r"'eos_token_id' is \['</s>'\], not token ids"),
    ],
)
def test_config_that_is_wrong_or_not_supported(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        Checkpoint(folder)
    assert str(folder / "config.json") in str(caught.value)


@pytest.mark.parametrize("content", ["", "null", "[]", "{", "\xff"])
def test_config_that_is_no_object(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json.* not (valid JSON|a JSON object)"):
        Checkpoint(folder)


def test_config_defaults(folder: Path) -> None:
    edit_config(folder, num_key_value_heads=None, head_dim=None, rope_theta=None, eos_token_id=[1, 2])
    fields = Fields.from_file(folder / "config.json")
    config = architectures.of(fields).config(fields)
    assert (config.num_kv_heads, config.head_dim, config.rope, config.eos_ids) == (4, 16, Rope(), (1, 2))


def test_rope_parameters_as_transformers_5_writes_them(folder: Path) -> None:
    edit_config(
        folder, rope_theta=None, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e5}
    )
    assert Checkpoint(folder).config.rope == Rope(1e5, Linear(4.0))
