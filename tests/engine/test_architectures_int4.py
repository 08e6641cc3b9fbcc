"""Every architecture in int4, quantized as it is loaded: against transformers, and native against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flash_engine import Backend, Checkpoint, Logits, backends
from flash_engine.backends import reference
from flash_engine.matrices import Quantization, quantize

from .architectures import CASES, logits, make
from .conftest import FAST_DEVICES

INT4 = Quantization(4, 32)
TOKENS = np.random.default_rng(7).integers(0, 160, 24).tolist()
STEPS = 24
PROBES = 24
"""Random signs that a prediction is the mean of."""
HEADS_OF_32 = {"num_attention_heads": 2, "num_key_value_heads": 1}
"""Smaller ones the native kernels do not know."""
LINEAR = 2.0
"""How far a change may be from its prediction of first order; choices of experts are not smooth."""


def matrices(model: Any) -> dict[str, torch.nn.Parameter]:
    """All that is quantized: everything but vectors and what chooses experts."""
    return {
        name: values
        for name, values in model.named_parameters()
        if values.ndim > 1 and not name.endswith("mlp.gate.weight")
    }


def quantize_in_place(values: torch.nn.Parameter) -> None:
    flat = values.detach().reshape(-1, values.shape[-1])
    rounded = quantize(flat.numpy(), INT4).dequantize().astype(np.float32)
    with torch.no_grad():
        values.copy_(torch.from_numpy(rounded).reshape(values.shape))


def predicted_change(model: Any, tokens: list[int]) -> float:
    """Root mean square of what rounding changes in the logits, to first order.

    A rounded weight is off by up to half a step, evenly: variance step^2 / 12. The logits' derivatives are added up by
    random signs: the mean of (d sum(sign * logit) / d weight)^2 is the sum over all logits of (d logit / d weight)^2.
    """
    parameters = matrices(model)
    generator = torch.Generator().manual_seed(1)
    variance = 0.0
    for _ in range(PROBES):
        model.zero_grad()
        rows = model(torch.tensor([tokens])).logits[0]
        signs = torch.randint(0, 2, rows.shape, generator=generator) * 2.0 - 1
        (rows * signs).sum().backward()
        for values in parameters.values():
            if values.grad is None:
                continue
            groups = values.detach().reshape(-1, INT4.group_size)
            steps = (groups.amax(-1) - groups.amin(-1)) / 15
            slopes = values.grad.reshape(-1, INT4.group_size).square().sum(-1)
            variance += float((steps.square() / 12 * slopes).sum()) / PROBES
    return float(np.sqrt(variance / rows.numel()))


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_rounded_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Transformers with int4's weights has the same logits, and they are as far from the float model's as rounding
    makes them."""
    model = make(case, tmp_path)
    exact, predicted = logits(model, TOKENS), predicted_change(model, TOKENS)
    for values in matrices(model).values():
        quantize_in_place(values)
    monkeypatch.setattr(reference, "through_int8", lambda rows: rows)
    backend = reference.ReferenceBackend.load(Checkpoint(tmp_path, quantize=INT4), capacity=64)
    computed = backend.forward(TOKENS, backend.new_cache(), logits=len(TOKENS))
    np.testing.assert_allclose(computed, logits(model, TOKENS), atol=1e-4)
    change = np.sqrt(np.mean(np.square(computed - exact)))
    assert predicted / LINEAR < change < predicted * LINEAR


def greedy(backend: Backend, prompt: list[int]) -> tuple[list[int], Logits]:
    """STEPS tokens after `prompt`, and the logits that each is the largest of."""
    cache, tokens, rows = backend.new_cache(), list(prompt), []
    for _ in range(STEPS):
        rows.append(backend.forward(tokens[cache.length :], cache, logits=1)[0])
        tokens.append(int(rows[-1].argmax()))
    return tokens[len(prompt) :], np.array(rows)


@pytest.mark.parametrize("device", FAST_DEVICES)
@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("case", CASES)
def test_decodes_the_reference_s_tokens(tmp_path: Path, device: str, case: str, bits: int | None) -> None:
    """But where the reference's two best are closer than the error of that place's logits."""
    make(case, tmp_path, sizes=HEADS_OF_32)
    checkpoint = Checkpoint(tmp_path, quantize=Quantization(bits, 32) if bits else None)
    backend = backends.load(device, checkpoint, capacity=64)
    others = 0
    for first in range(0, len(TOKENS), 8):
        prompt = TOKENS[first : first + 8]
        tokens, expected = greedy(backends.load("reference", checkpoint, capacity=64), prompt)
        rows = backend.forward([*prompt, *tokens[:-1]], backend.new_cache(), logits=STEPS)
        error = np.sqrt(np.mean(np.square(rows - expected), axis=-1))
        assert error.mean() < 0.1 * expected.std()
        other = rows.argmax(-1) != tokens
        second, best = np.sort(expected, axis=-1)[:, -2:].T
        assert ((best - second)[other] < 4 * error[other]).all()
        others += int(other.sum())
    print(f"{case}, {device}, {bits} bit: another token at {others} of {3 * STEPS}")
