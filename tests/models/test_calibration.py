"""Quantization that a sample of code guides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine.architectures import logits, make
from safetensors.numpy import load_file, save_file

from flash_engine import Checkpoint, FlashError, ModelError, Tokenizer, bundled, conversion, provenance
from flash_engine.activations import Pass, computable
from flash_engine.calibration import PLAIN, convert_calibrated
from flash_engine.matrices import Quantization, quantize
from flash_engine.scaling import Scaling, best_factors, find
from flash_engine.shapes import matrix_shapes
from flash_engine.trials import Trials
from flash_lsp.cli import main
from flash_lsp.models.sample import OWN_SOURCES, read_sample

COMPUTED = (
    "llama, linear scaling, eps",
    "llama, llama3 scaling, tied",
    "llama, yarn",
    "mistral, window, head size",
    "qwen2",
    "qwen2, windows",
    "qwen3",
)
INT4 = Quantization(4, 32)
TEXTS = [np.random.default_rng(seed).integers(0, 160, 40).tolist() for seed in range(3)]


def with_outliers(folder: Path, case: str) -> Path:
    """A tiny model in which some channels of what norms and the values give are many times larger than others."""
    make(case, folder)
    tensors = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(0)
    for name, values in tensors.items():
        if "layernorm.weight" in name:
            values[rng.permutation(len(values))[:4]] *= 20
        if "v_proj.weight" in name or "up_proj.weight" in name:
            values[rng.permutation(len(values))[:4]] *= 20
    save_file(tensors, folder / "model.safetensors")
    return folder


def computed(folder: Path, texts: list[list[int]]) -> np.ndarray:
    work = Pass(Checkpoint(folder), texts)
    for _ in work.layers():
        pass
    return work.logits()


def int4(name: str, columns: int) -> Quantization:
    return INT4


@pytest.mark.parametrize("case", COMPUTED)
def test_the_pass_over_several_texts_computes_the_model(tmp_path: Path, case: str) -> None:
    model = make(case, tmp_path)
    assert computable(Checkpoint(tmp_path))
    expected = np.concatenate([logits(model, text) for text in TEXTS])
    np.testing.assert_allclose(computed(tmp_path, TEXTS), expected, atol=1e-4)


def test_columns_with_large_inputs_get_small_errors() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(48, 128)).astype(np.float32)
    inputs = rng.normal(size=(60, 128)).astype(np.float32)
    inputs[:, [3, 70]] *= 30
    factors = best_factors(inputs, [(weights, INT4)], np.abs(inputs).mean(axis=0))

    def error(scale: np.ndarray) -> float:
        rounded = quantize(weights * scale, INT4).dequantize() / scale
        return float(np.square(inputs @ (weights - rounded).T).sum())

    assert error(factors) < error(np.ones(128)) / 3
    even = rng.normal(size=(60, 128)).astype(np.float32)
    assert error(best_factors(even, [(weights, INT4)], np.ones(128, np.float32))) <= error(np.ones(128))


@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3"])
def test_factors_leave_the_function_as_it_is(tmp_path: Path, case: str) -> None:
    folder = with_outliers(tmp_path / "made", case)
    checkpoint = Checkpoint(folder)
    scaling = find(checkpoint, TEXTS, int4, lambda share: None)
    assert max(float(np.ptp(factors)) for factors in scaling.columns.values()) > 1, (
        "there is something to scale"
    )
    tensors = load_file(folder / "model.safetensors")
    for name, values in tensors.items():
        module = name.removesuffix(".weight")
        tensors[name] = (
            scaling.vector(name, values) if values.ndim == 1 else scaling.matrix(module, values)
        ).astype(np.float32)
    other = tmp_path / "scaled"
    other.mkdir()
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    save_file(tensors, other / "model.safetensors")
    before = computed(folder, TEXTS)
    np.testing.assert_allclose(computed(other, TEXTS), before, atol=2e-5 * np.abs(before).max())


def test_a_range_is_narrowed_only_where_that_helps_what_matters() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(16, 64)).astype(np.float32)
    values[:, 5], values[:, 6] = 8.0, -8.0
    importance = np.ones(64, np.float32)
    importance[5:7] = 1e-6
    plain, fitted = quantize(values, INT4), quantize(values, INT4, importance)

    def lost(matrix: np.ndarray) -> float:
        return float((np.square(values - matrix) * importance).sum())

    assert lost(fitted.dequantize()) < lost(plain.dequantize()) / 1.5
    exact = quantize(plain.dequantize(), INT4, np.ones(64))
    np.testing.assert_allclose(exact.dequantize(), plain.dequantize(), atol=2e-3)


@pytest.mark.parametrize("case", ["llama, linear scaling, eps", "qwen2"])
def test_scaled_models_are_nearer_to_the_original(tmp_path: Path, case: str) -> None:
    folder = with_outliers(tmp_path / "made", case)
    exact = computed(folder, TEXTS)
    scaling = find(Checkpoint(folder), TEXTS, int4, lambda share: None)
    errors = []
    for name, way in (("plain", Scaling()), ("scaled", scaling)):
        conversion.convert(
            folder,
            tmp_path / name,
            lambda name: 4 if ".layers." in name else 16,
            group_size=32,
            progress=lambda *_: None,
            scaling=way,
        )
        errors.append(np.sqrt(np.mean(np.square(computed(tmp_path / name, TEXTS) - exact))))
    assert errors[1] < 0.95 * errors[0]


def test_what_predicts_best_is_kept_and_written_down(sixteen_bit: Path, tmp_path: Path) -> None:
    sample, held_out = read_sample(OWN_SOURCES, Tokenizer.from_folder(sixteen_bit))
    assert not {tuple(text) for text in sample} & {tuple(text) for text in held_out}
    out = tmp_path / "out"
    result = convert_calibrated(
        sixteen_bit, out, conversion.uniform(4), group_size=64, sample=[text[:64] for text in sample[:3]],
        held_out=[text[:64] for text in held_out[:3]], progress=lambda *_: None,
    )  # fmt: skip
    assert len(result.perplexities) == 3
    assert result.perplexities[result.kept] == min(result.perplexities.values())
    found = provenance.read(out)
    assert found is not None
    assert found.measured == str(result)
    provenance.verify_anew(out)
    assert [each.name for each in tmp_path.iterdir() if each.name != "models"] == ["out"]


@pytest.mark.parametrize(
    ("eighths", "kept", "bits"),
    [(0, PLAIN, {4}), (1, "1/8 in 8 bit", {4, 8}), (5, "5/8 in 8 bit", {4, 8}), (8, "8/8 in 8 bit", {8})],
)
def test_as_few_matrices_get_eight_bit_as_the_loss_allows(
    sixteen_bit: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eighths: int,
    kept: str,
    bits: set[int],
) -> None:
    """With a perplexity that falls with the share of weights in 8 bit."""

    def bits_of(folder: Path) -> dict[str, int]:
        checkpoint = Checkpoint(folder)
        found = {name: checkpoint.quantization(name) for name in matrix_shapes(checkpoint.config)}
        return {name: kind.bits if kind else 16 for name, kind in found.items()}

    def wide(folder: Path) -> float:
        shapes = matrix_shapes(Checkpoint(folder).config)
        sizes = {name: rows * columns for name, (rows, columns) in shapes.items()}
        return sum(sizes[name] for name, bits in bits_of(folder).items() if bits > 4) / sum(sizes.values())

    seen = []

    def perplexity_of(trials: Trials, name: str, folder: Path) -> float:
        share = wide(folder)
        steps = int(name.partition("/")[0]) if "/" in name else 0
        assert share <= steps / 8 or steps == 0
        seen.append(name)
        trials.perplexities[name] = 5.0 if folder == sixteen_bit or steps >= eighths else 6.0
        return trials.perplexities[name]

    monkeypatch.setattr(Trials, "_perplexity", perplexity_of)
    out = tmp_path / "out"
    result = convert_calibrated(
        sixteen_bit, out, conversion.uniform(4), group_size=64, sample=[list(range(200, 230))], held_out=[],
        allowed=0.01, progress=lambda *_: None,
    )  # fmt: skip
    assert result.kept == kept
    assert set(bits_of(out).values()) == bits
    assert len(seen) <= 3 + 1 + 1 + 4
    assert [each.name for each in tmp_path.iterdir() if each.name != "models"] == ["out"]


def test_a_loss_that_eight_bit_exceeds_is_refused(
    sixteen_bit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perplexity_of(trials: Trials, name: str, folder: Path) -> float:
        trials.perplexities[name] = 5.0 if folder == sixteen_bit else 6.0
        return trials.perplexities[name]

    monkeypatch.setattr(Trials, "_perplexity", perplexity_of)
    with pytest.raises(
        ModelError, match=r"with 8 bit is 6.0000, more than the 5.0500 that are allowed: allow"
    ):
        convert_calibrated(
            sixteen_bit, tmp_path / "out", conversion.uniform(4), group_size=64, sample=[list(range(200, 230))],
            held_out=[], allowed=0.01, progress=lambda *_: None,
        )  # fmt: skip
    assert [each.name for each in tmp_path.iterdir() if each.name != "models"] == []


@pytest.mark.parametrize("case", ["llama, linear scaling, eps", "qwen2"])
def test_a_matrix_s_loss_is_what_quantizing_it_alone_does(tmp_path: Path, case: str) -> None:
    """Roughly: the order of the estimates is that of the changes of the logits."""
    folder = with_outliers(tmp_path / "made", case)
    exact = computed(folder, TEXTS)
    losses = find(Checkpoint(folder), TEXTS, int4, lambda share: None).losses
    assert set(losses) == set(matrix_shapes(Checkpoint(folder).config))
    changes = {}
    for name in losses:
        conversion.convert(
            folder,
            tmp_path / name,
            lambda other, name=name: 4 if other == name else 16,
            group_size=32,
            progress=lambda *_: None,
        )
        changes[name] = float(np.mean(np.square(computed(tmp_path / name, TEXTS) - exact)))
    ranks = [np.argsort(np.argsort([each[name] for name in losses])) for each in (losses, changes)]
    assert np.corrcoef(ranks)[0, 1] > 0.5


def test_nothing_is_kept_that_does_not_predict_better(
    sixteen_bit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flash_engine.trials.perplexity", lambda backend, texts: 5.0)
    result = convert_calibrated(
        sixteen_bit, tmp_path / "out", conversion.uniform(4), group_size=64, sample=[[1, 2, 3]],
        held_out=[[1, 2, 3]], progress=lambda *_: None,
    )  # fmt: skip
    assert result.kept == PLAIN
    plain = tmp_path / "plain"
    conversion.convert(sixteen_bit, plain, conversion.uniform(4), group_size=64, progress=lambda *_: None)
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (plain / name).read_bytes()


@pytest.mark.parametrize("case", ["gemma", "granite, multipliers", "qwen3_moe", "deepseek_v2", "starcoder2"])
def test_architectures_that_are_calibration_free_say_so(tmp_path: Path, case: str) -> None:
    make(case, tmp_path)
    with pytest.raises(ModelError, match=r"cannot be measured here .*convert it without calibration"):
        convert_calibrated(
            tmp_path, tmp_path / "out", conversion.uniform(4), group_size=32, sample=TEXTS, held_out=TEXTS,
            progress=lambda *_: None,
        )  # fmt: skip


def test_the_command(sixteen_bit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for number in range(2):
        (code / f"{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n" * 20)
    command = [
        "models",
        "convert",
        str(sixteen_bit),
        "--calibrate",
        str(code),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as exit:
        main(command)
    assert not exit.value.code
    assert "perplexity: round to nearest" in capsys.readouterr().out
    (code / "1.py").unlink()
    with pytest.raises(FlashError, match="fewer than two source files"):
        read_sample(code, Tokenizer.from_folder(bundled.root() / bundled.MAIN))
