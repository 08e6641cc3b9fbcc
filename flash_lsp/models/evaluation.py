"""A model on the user's own code: perplexity, and how often the rest of a line is exactly right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flash_engine import Engine
from flash_engine.perplexity import perplexity
from flash_lsp.bench.cases import rest_of_line
from flash_lsp.completer import Completer

MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measured figures of one model."""

    model: str
    backend: str
    weight_bytes: int
    """Bytes of the model's files."""
    tokens: int
    """Predicted for the perplexity."""
    perplexity: float
    cases: int
    exact: int
    """Cases whose greedy rest of the line is the file's own."""


def evaluate(
    engine: Engine,
    folder: Path,
    *,
    tokens: int,
    cases: int,
    seed: int,
    progress: Callable[[str, float], None],
) -> Evaluation:
    """Measure `engine` on the sources under `folder`: the same texts and cases for every model.

    tokens: about how many are predicted for the perplexity. Raises FlashError if there are no sources.
    """
    chosen = rest_of_line(folder, count=cases, seed=seed)
    texts = list(dict.fromkeys(case.prefix + case.suffix for case in chosen))
    encoded = _first(texts, engine, tokens)
    total = sum(len(text) - 1 for text in encoded)
    measured = engine.submit(
        lambda: perplexity(
            engine.backend, encoded, lambda done: progress("perplexity", done / max(total, 1) / 2)
        )
    ).result()
    completer, session = Completer(engine), engine.session()
    exact = 0
    for index, case in enumerate(chosen):
        progress("infilling", 0.5 + index / len(chosen) / 2)
        answer = engine.submit(
            lambda case=case: completer.complete(  # type: ignore[misc]
                case.path, case.prefix, case.suffix, session=session, max_lines=1, max_tokens=MAX_TOKENS
            )
        ).result()
        exact += answer.text.rstrip() == case.gold.rstrip()
    size = sum(file.stat().st_size for file in _weights(engine.folder))
    return Evaluation(engine.name, engine.backend.name, size, total, measured, len(chosen), exact)


def _first(texts: list[str], engine: Engine, tokens: int) -> list[list[int]]:
    """The texts' tokens, `tokens` in all."""
    encoded: list[list[int]] = []
    for text in texts:
        room = tokens - sum(map(len, encoded))
        if room < 2:
            break
        encoded.append(list(islice(engine.tokenizer.encode(text), room)))
    return [each for each in encoded if len(each) > 1]


def _weights(folder: Path) -> list[Path]:
    return [folder] if folder.is_file() else [*folder.glob("*.safetensors"), *folder.glob("*.gguf")]
