"""GGUF files written and read by llama.cpp's package `gguf`, against ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tokenizers

from flash_engine import Checkpoint, ModelError, Tokenizer
from flash_engine.backends import reference
from flash_engine.formats.gguf_blocks import convert, floats, loss, quantization_of
from flash_engine.formats.gguf_file import TYPES, BlockType, GgufTensor, read_gguf
from flash_engine.formats.gguf_tokenizer import PATTERNS
from flash_engine.formats.loss import report
from flash_engine.matrices import Quantization

from . import gguf_writer
from .architectures import CASES, DEEPSEEK_YARN, logits, make

TOKENS = np.random.default_rng(7).integers(0, 160, 40).tolist()
BLOCKS = [kind for kind in TYPES.values() if kind.values > 1]
HALVES = {"Q6_K": [208], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q4_1": [0, 2], "Q5_1": [0, 2]}
LOSSES = {"Q4_K": 4e-4, "Q5_K": 4e-4, "Q6_K": 6e-3}
"""Bounds of the relative change; the other types are exact."""
AS_LLAMA_CPP_HAS_IT: dict[str, dict[str, Any]] = {
    "starcoder2, no biases, gelu, window": {"hidden_act": "gelu_pytorch_tanh"},
    "deepseek_v2, yarn, groups": {"rope_parameters": {**DEEPSEEK_YARN, "mscale": 0.9}},
}
"""Values that GGUF has no field for, as llama.cpp takes them to be."""


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every case, without what cannot be written."""
    kind, special = CASES[request.param]
    monkeypatch.setitem(CASES, request.param, (kind, special | AS_LLAMA_CPP_HAS_IT.get(request.param, {})))
    return str(request.param)


def random_rows(kind: BlockType, rows: int = 6, blocks: int = 4) -> GgufTensor:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (rows, blocks * kind.size), dtype=np.uint8)
    each = data.reshape(-1, kind.size)
    for at in HALVES.get(kind.name, [0]):
        halves = rng.uniform(0.001, 0.01, len(each)).astype("<f2")
        each[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return GgufTensor(kind, (rows, blocks * kind.values), data)


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_blocks_as_llama_cpp_reads_them(kind: BlockType) -> None:
    tensor = random_rows(kind)
    expected = gguf.quants.dequantize(tensor.data, gguf.GGMLQuantizationType[kind.name])
    np.testing.assert_array_equal(floats(kind.name, tensor.data), expected)
    matrix = convert(tensor, np.arange(6))
    change = np.sqrt(np.square(matrix.dequantize() - expected).sum() / np.square(expected).sum())
    assert change == pytest.approx(loss(tensor), rel=1e-3, abs=1e-12)
    assert change <= LOSSES.get(kind.name, 0)
    assert matrix.quantization == quantization_of(kind.name)


def test_some_rows_in_another_order() -> None:
    tensor = random_rows(TYPES[12])
    order = np.array([3, 0, 5])
    np.testing.assert_array_equal(
        convert(tensor, order).dequantize(), convert(tensor, np.arange(6)).dequantize()[order]
    )


def test_logits_are_those_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(reference, "through_int8", lambda rows: rows)
    expected = logits(make(case, tmp_path), TOKENS)
    path = gguf_writer.write(tmp_path, tmp_path / "model.gguf")
    backend = reference.ReferenceBackend.load(Checkpoint(path), capacity=64)
    computed = backend.forward(TOKENS, backend.new_cache(), logits=40)
    np.testing.assert_allclose(computed, expected, atol=1e-4)


@pytest.mark.parametrize("latent", [case for case in CASES if case.startswith("deepseek_v2")])
def test_latent_projections_in_two_tensors(tmp_path: Path, latent: str) -> None:
    make(latent, tmp_path)
    name = "model.layers.1.self_attn.kv_b_proj"
    whole = Checkpoint(gguf_writer.write(tmp_path, tmp_path / "whole.gguf"))
    split = Checkpoint(gguf_writer.write(tmp_path, tmp_path / "split.gguf", split=True))
    np.testing.assert_array_equal(split.matrix(name).dequantize(), whole.matrix(name).dequantize())
    assert split.quantization(name) is None
    eight = Checkpoint(gguf_writer.write(tmp_path, tmp_path / "eight.gguf", "Q8_0", split=True))
    assert eight.quantization(name) == Quantization(8, 32)
    exact = whole.matrix(name).dequantize()
    change = np.square(eight.matrix(name).dequantize() - exact).sum() / np.square(exact).sum()
    assert change < 0.01**2


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_every_type_that_can_be_written(tmp_path: Path, kind: str) -> None:
    """The matrices are, to the last bit, what llama.cpp's package makes of the same file."""
    make("llama, linear scaling, eps", tmp_path)
    path = gguf_writer.write(tmp_path, tmp_path / "model.gguf", kind)
    checkpoint = Checkpoint(path)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}["blk.1.ffn_down.weight"]
    assert stored.tensor_type.name == kind
    expected = gguf.quants.dequantize(stored.data, stored.tensor_type)
    np.testing.assert_array_equal(checkpoint.matrix("model.layers.1.mlp.down_proj").dequantize(), expected)
    assert f"{kind:5}" in report(path)


@pytest.mark.parametrize("pre", PATTERNS)
def test_tokenizer_of_metadata(bundled_folder: Path, tmp_path: Path, pre: str) -> None:
    path = write_tokenizer(tmp_path / "model.gguf", bundled_folder, pre)
    tokenizer = Tokenizer.from_folder(path)
    text = Path(__file__).read_text()
    assert tokenizer.decode(tokenizer.encode(text)).decode() == text
    assert tokenizer.special("<|fim_prefix|>") == 7
    if pre == "smollm":
        plain = Tokenizer.from_folder(bundled_folder)
        assert tokenizer.encode(text) == plain.encode(text)


def write_tokenizer(path: Path, folder: Path, pre: str) -> Path:
    raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary = sorted(raw.get_vocab().items(), key=lambda item: item[1])
    control = {token.content for token in raw.get_added_tokens_decoder().values()}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([text for text, _ in vocabulary])
    writer.add_token_types([3 if text in control else 1 for text, _ in vocabulary])
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    make("llama", tmp_path / "hf")
    return gguf_writer.write(tmp_path / "hf", tmp_path / "small.gguf")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.9999])
def test_cut_in_the_middle(small: Path, share: float) -> None:
    small.write_bytes(small.read_bytes()[: int(small.stat().st_size * share)])
    with pytest.raises(ModelError, match=r"small\.gguf is cut off.*fetch the model again"):
        Checkpoint(small)


def test_the_tensor_that_is_cut_off_is_named(small: Path) -> None:
    small.write_bytes(small.read_bytes()[:-100])
    last = list(read_gguf_names(small))[-1]
    with pytest.raises(ModelError, match=f"cut off: tensor {last} should end at byte"):
        read_gguf(small)


def read_gguf_names(path: Path) -> list[str]:
    whole = path.with_name("whole.gguf")
    whole.write_bytes(path.read_bytes() + bytes(100))
    return list(read_gguf(whole).tensors)


def test_other_containers(tmp_path: Path, small: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ModelError, match="does not start with GGUF"):
        Checkpoint(tmp_path / "x.gguf")
    data = bytearray(small.read_bytes())
    data[4] = 1
    small.write_bytes(data)
    with pytest.raises(ModelError, match="GGUF of version 1; versions 2 and 3 are supported"):
        Checkpoint(small)


def test_unknown_architecture_and_type(tmp_path: Path) -> None:
    for arch, kind, message in (
        ("mamba", None, r"'general\.architecture' is 'mamba', which is not supported \(supported: 'llama'"),
        (
            "llama",
            gguf.GGMLQuantizationType.Q2_K,
            r"tensor token_embd\.weight is Q2_K, which is not supported",
        ),
    ):
        path = tmp_path / f"{arch}.gguf"
        writer = gguf.GGUFWriter(str(path), arch)
        if kind is not None:
            writer.add_tensor("token_embd.weight", np.zeros((2, 84), np.uint8), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(ModelError, match=message):
            Checkpoint(path)


def test_folder_with_one_file_or_several(small: Path) -> None:
    assert Checkpoint(small.parent).config == Checkpoint(small).config
    (small.parent / "other.gguf").write_bytes(small.read_bytes())
    with pytest.raises(ModelError, match="holds 2 GGUF files: give one of them"):
        Checkpoint(small.parent)
