"""Weights quantized as they are read: by option, or because the memory asks for it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from flash_engine import CapacityError, Checkpoint, Engine, memory
from flash_engine.draft_checkpoint import DraftCheckpoint
from flash_engine.matrices import DenseMatrix, Quantization, QuantizedMatrix, quantize
from flash_engine.opening import fitting_choices, open_models
from flash_engine.shapes import matrix_shapes

from .architectures import make
from .tiny import Shape, write_checkpoint


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory, bundled_folder: Path) -> Path:
    """A tiny float32 model with the bundled tokenizer."""
    folder = tmp_path_factory.mktemp("dense")
    make("llama", folder, sizes={"vocab_size": 49_152, "num_attention_heads": 2, "num_key_value_heads": 1})
    shutil.copy(bundled_folder / "tokenizer.json", folder)
    return folder


@pytest.mark.parametrize(("option", "bits"), [(4, 4), (8, 8), (None, 16), ("auto", 16)])
def test_option(dense: Path, caplog: pytest.LogCaptureFixture, option: object, bits: int) -> None:
    stages: list[tuple[str, float]] = []
    with (
        caplog.at_level(logging.INFO, "flash_engine.engine"),
        Engine.load(
            dense, device="native", quantize=option, progress=lambda *each: stages.append(each)
        ) as engine,  # type: ignore[arg-type]
    ):
        assert engine.plan is not None
        stored = memory.measure(Checkpoint(dense), "native").weights
        assert engine.plan.weights == pytest.approx(stored * {4: 4.6, 8: 8.6, 16: 16}[bits] / 16, rel=0.03)
        if bits == 16:
            assert (engine.changes, caplog.messages) == ("", [])
        else:
            assert f"16 matrices unquantized to {bits} bit (" in engine.changes
            assert caplog.messages == [f"{dense}: as it was read, {engine.changes}"]
    shares = [share for _, share in stages]
    assert shares == sorted(shares)
    assert sum(name == "loading weights" for name, _ in stages) > 3, "moves while the weights are read"


@pytest.mark.parametrize(("room", "bits"), [(1.0, None), (0.6, 8), (0.35, 4)])
def test_what_the_memory_has_room_for(dense: Path, room: float, bits: int | None) -> None:
    found = memory.measure(Checkpoint(dense), "native")
    working_set = memory.PROCESS_BYTES + found.scratch + int(found.weights * room) + found.kv_token * 128
    opened = open_models(
        dense,
        None,
        device="native",
        working_set=working_set,
        choices=fitting_choices(dense, "native"),
        context=None,
        draft_required=False,
    )
    expected = None if bits is None else Quantization(bits, 64)
    assert opened.checkpoint.quantization("lm_head") == expected
    assert opened.plan.context == 128


def test_nothing_fits(dense: Path) -> None:
    with pytest.raises(CapacityError, match="would fit"):
        open_models(
            dense,
            None,
            device="native",
            working_set=memory.PROCESS_BYTES,
            choices=fitting_choices(dense, "native"),
            context=None,
            draft_required=False,
        )


def test_quantized_files_are_not_tried_again(tmp_path: Path) -> None:
    assert fitting_choices(write_checkpoint(tmp_path, Shape()), "native") == (None,)


def test_smaller_groups_where_columns_ask_for_them(tmp_path: Path) -> None:
    make("llama", tmp_path)
    checkpoint = Checkpoint(tmp_path, quantize=Quantization(4, 64))
    down = checkpoint.matrix("model.layers.0.mlp.down_proj")
    assert isinstance(down, QuantizedMatrix)
    assert down.quantization == Quantization(4, 32), "96 columns"
    assert checkpoint.quantization("model.layers.0.mlp.up_proj") == Quantization(4, 64)
    assert isinstance(Checkpoint(tmp_path).matrix("lm_head"), DenseMatrix)


def test_slices_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(37, 64))
    whole = quantize(values, Quantization(4, 32))
    monkeypatch.setattr("flash_engine.matrices.SLICE_VALUES", 200)
    parts = quantize(values, Quantization(4, 32))
    for name in ("weight", "scales", "biases"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


def test_a_draft_model_is_held_in_4_bits(dense: Path, tmp_path: Path) -> None:
    """What is stored in more bits is quantized again, in its groups; 4- and 16-bit matrices stay bit for bit."""
    wide = Quantization(8, 32)
    eight, draft = Checkpoint(dense, quantize=wide), DraftCheckpoint(dense, quantize=wide)
    for name in matrix_shapes(eight.config):
        assert draft.quantization(name) == Quantization(4, 32)
        found, stored = draft.matrix(name), eight.matrix(name)
        assert isinstance(found, QuantizedMatrix)
        assert found.quantization == Quantization(4, 32)
        expected = quantize(stored.dequantize().astype(np.float32), Quantization(4, 32))
        assert np.array_equal(found.dequantize(), expected.dequantize())
    assert isinstance(DraftCheckpoint(dense).matrix("model.embed_tokens"), DenseMatrix)
    assert DraftCheckpoint(dense).quantization("model.embed_tokens") is None
    four = write_checkpoint(tmp_path)
    found, stored = (kind(four).matrix("model.embed_tokens") for kind in (DraftCheckpoint, Checkpoint))
    assert isinstance(found, QuantizedMatrix)
    assert isinstance(stored, QuantizedMatrix)
    assert np.array_equal(found.weight, stored.weight)
