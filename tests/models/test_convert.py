"""Quantizing, writing GGUF, and measuring what that does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from engine.architectures import make

from engine import gguf_writer
from flash_engine import (
    Checkpoint,
    Engine,
    ModelError,
    Tokenizer,
    bundled,
    conversion,
    gguf_export,
    provenance,
)
from flash_engine.checkpoint import DenseMatrix, QuantizedMatrix, matrix_shapes, vector_shapes
from flash_engine.matrices import Quantization, quantize
from flash_engine.perplexity import perplexity


def ignore(what: str, share: float) -> None:
    assert 0 <= share <= 1


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (4, 32), (8, 64)])
def test_a_converted_model_holds_what_quantization_gives(
    sixteen_bit: Path, tmp_path: Path, bits: int, group: int
) -> None:
    out = tmp_path / "out"
    loss = conversion.convert(sixteen_bit, out, conversion.uniform(bits), group_size=group, progress=ignore)
    assert 0 < loss.relative_error < (0.15 if bits == 4 else 0.01)
    assert loss.worst_error >= loss.relative_error
    before, after = Checkpoint(sixteen_bit), Checkpoint(out)
    for name in matrix_shapes(before.config):
        original, quantized = before.matrix(name), after.matrix(name)
        assert isinstance(original, DenseMatrix)
        assert isinstance(quantized, QuantizedMatrix)
        assert quantized.quantization == Quantization(bits, group)
        expected = quantize(original.values, Quantization(bits, group))
        np.testing.assert_array_equal(quantized.weight, expected.weight)
        np.testing.assert_array_equal(quantized.scales, expected.scales)
    found = provenance.read(out)
    assert found is not None
    assert found.source == "converted from tiny-llama"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(found.sums)
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "F16", "BF16"])
@pytest.mark.parametrize("case", ["llama, linear scaling, eps", "qwen2", "gemma", "deepseek_v2"])
def test_a_gguf_file_becomes_a_folder_with_the_same_numbers(tmp_path: Path, case: str, kind: str) -> None:
    make(case, tmp_path / "made")
    path = gguf_writer.write(tmp_path / "made", tmp_path / "model.gguf", kind)
    out = tmp_path / "out"
    conversion.convert(path, out, conversion.uniform(None), group_size=64, progress=ignore)
    before, after = Checkpoint(path), Checkpoint(out)
    assert after.config == before.config
    for name in matrix_shapes(before.config):
        assert after.quantization(name) == before.quantization(name)
        np.testing.assert_array_equal(after.matrix(name).dequantize(), before.matrix(name).dequantize())
    for name in vector_shapes(before.config):
        np.testing.assert_array_equal(after.vector(name), before.vector(name))
    text = "abba"
    assert Tokenizer.from_folder(out).encode(text) == Tokenizer.from_folder(path).encode(text)


def test_quantized_numbers_become_sixteen_bit_ones(sixteen_bit: Path, tmp_path: Path) -> None:
    small, wide, again = (tmp_path / name for name in ("small", "wide", "again"))
    conversion.convert(sixteen_bit, small, conversion.uniform(8), group_size=64, progress=ignore)
    conversion.convert(small, wide, conversion.uniform(16), group_size=64, progress=ignore)
    conversion.convert(wide, again, conversion.uniform(8), group_size=64, progress=ignore)
    assert "quantization" not in json.loads((wide / "config.json").read_text())
    for name in matrix_shapes(Checkpoint(small).config):
        given, stored = Checkpoint(small).matrix(name), Checkpoint(wide).matrix(name)
        assert isinstance(stored, DenseMatrix)
        np.testing.assert_array_equal(stored.values, given.dequantize().astype(np.float16))
        np.testing.assert_allclose(Checkpoint(again).matrix(name).dequantize(), given.dequantize(), atol=2e-3)


def test_mixed_bits_are_written_by_tensor_and_read_back(sixteen_bit: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    conversion.convert(sixteen_bit, out, conversion.mixed(8), group_size=64, progress=ignore)
    after = Checkpoint(out)
    bits = {name: matrix.bits for name in matrix_shapes(after.config) if (matrix := after.quantization(name))}
    assert bits["model.embed_tokens"] == 8
    assert bits["model.layers.0.mlp.down_proj"] == bits["model.layers.7.self_attn.v_proj"] == 8
    assert bits["model.layers.1.mlp.down_proj"] == bits["model.layers.0.self_attn.q_proj"] == 4
    raw = json.loads((out / "config.json").read_text())
    assert raw["quantization"]["model.embed_tokens"] == {"bits": 8, "group_size": 64}


@pytest.mark.parametrize("case", ["qwen3_moe", "deepseek_v2"])
def test_what_chooses_experts_is_not_quantized(tmp_path: Path, case: str) -> None:
    make(case, tmp_path / "made")
    out = tmp_path / "out"
    conversion.convert(tmp_path / "made", out, conversion.uniform(4), group_size=32, progress=ignore)
    before, after = Checkpoint(tmp_path / "made"), Checkpoint(out)
    routers = {name for name in matrix_shapes(after.config) if name.endswith(".mlp.gate")}
    assert routers
    assert {name for name in matrix_shapes(after.config) if after.quantization(name) is None} == routers
    for name in routers:
        np.testing.assert_allclose(
            after.matrix(name).dequantize(), before.matrix(name).dequantize(), rtol=1e-3
        )


def test_more_bits_predict_no_worse(sixteen_bit: Path, tmp_path: Path) -> None:
    measured = {}
    text = [list(range(100, 300))]
    for bits in (4, 8, 16):
        folder = sixteen_bit
        if bits < 16:
            folder = tmp_path / str(bits)
            conversion.convert(sixteen_bit, folder, conversion.uniform(bits), group_size=32, progress=ignore)
        with Engine.load(folder, device="native", speculation=False) as engine:
            measured[bits] = engine.submit(lambda engine=engine: perplexity(engine.backend, text)).result()
    assert measured[8] == pytest.approx(measured[16], rel=0.01)
    assert abs(measured[8] / measured[16] - 1) < abs(measured[4] / measured[16] - 1) + 1e-3


def test_perplexity_is_what_the_definition_says() -> None:
    tokens = list(range(200, 280))
    with Engine.load(device="native", speculation=False) as engine:

        def both() -> tuple[float, float]:
            logits = engine.backend.forward(tokens, engine.backend.new_cache(), logits=len(tokens))
            rows = logits[:-1].astype(np.float64)
            scores = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
            expected = float(np.exp(-scores[np.arange(len(rows)), tokens[1:]].mean()))
            return expected, perplexity(engine.backend, [tokens])

        expected, measured = engine.submit(both).result()
        assert measured == pytest.approx(expected, rel=1e-6)
        with pytest.raises(ValueError, match="no token to predict"):
            perplexity(engine.backend, [[1]])


def test_what_cannot_be_converted_is_left_without_a_trace(sixteen_bit: Path, tmp_path: Path) -> None:
    folder = bundled.locate(bundled.MAIN)
    with pytest.raises(ModelError, match="is quantized already: give a 16-bit model"):
        conversion.convert(folder, tmp_path / "out", conversion.uniform(4), group_size=64, progress=ignore)
    assert list(tmp_path.iterdir()) == []
    config = json.loads((sixteen_bit / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for file in sixteen_bit.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config["rope_parameters"] = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256, "rope_theta": 10000.0,
    }  # fmt: skip
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="RoPE scaling cannot be written as GGUF"):
        gguf_export.export(other, tmp_path / "out.gguf", progress=ignore)
    assert not list(tmp_path.glob("out*"))


def test_q4_1_blocks_hold_the_same_numbers() -> None:
    gguf = pytest.importorskip("gguf")
    matrix = Checkpoint(bundled.locate(bundled.MAIN)).matrix("model.layers.3.mlp.down_proj")
    assert isinstance(matrix, QuantizedMatrix)
    values = gguf.quants.dequantize(gguf_export.q4_1(matrix), gguf.GGMLQuantizationType.Q4_1)
    np.testing.assert_allclose(values, matrix.dequantize(), atol=1e-6)
