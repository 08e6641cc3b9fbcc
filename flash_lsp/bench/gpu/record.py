"""Records what a real pair of models accepts: `python -m flash_lsp.bench.gpu.record MODEL DRAFT --source TEXT`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flash_engine import Engine
from flash_engine.common import common_tokens
from flash_engine.speculation import LONGEST, Bounds, Draft, ModelDrafter, NGrams, Source, TextDrafter
from flash_engine.speculation.draft import GRADES
from flash_lsp.bench import speculation
from flash_lsp.bench.gpu.trace import TRACE, mark
from flash_lsp.bench.quality import standard_library

_WHOLE = ([0.0] * LONGEST, [1.0] * GRADES)
"""Bars and chances by which the draft model never stops."""
WORKLOADS = ("infill", "edit", "fresh", "prose")


def record(engine: Engine, sources: Path, count: int, source: str) -> dict[str, Any]:
    """The content of TRACE, of an engine with a draft model and `count` cases of each of WORKLOADS.

    For each workload, drafts of the draft model and of texts at the places of the main model's greedy texts, as
    Acceptance.recorded reads them, for the draft model with what it could read along.
    """
    workloads = speculation.Bench(engine, sources, count).workloads()
    recorded = {
        name: engine.submit(partial(_record, engine, list(workloads[name]()))).result() for name in WORKLOADS
    }
    return {"source": source, "workloads": recorded}


def _record(engine: Engine, jobs: Sequence[speculation.Job]) -> dict[Source, list[list[str]]]:
    assert engine.draft is not None
    found: dict[Source, list[list[str]]] = {source: [] for source in Source}
    texts = TextDrafter(engine.corpus)
    bounds = Bounds(engine.tokenizer, LONGEST, b"", frozenset(), b"")
    for job in jobs:
        plain = engine.plain_session()
        plain.sync(job.prompt)
        text = [token.id for token in plain.generate(max_tokens=speculation.MAX_TOKENS + LONGEST)]
        if not text:
            continue
        engine.corpus.update("buffer", job.buffer)
        while engine.corpus.step():
            pass
        model = ModelDrafter(engine.draft)
        drafters: dict[Source, Callable[[list[int]], Draft]] = {
            Source.MODEL: lambda tokens, model=model: model.draft(tokens, bounds, *_WHOLE),  # type: ignore[misc]
            Source.TEXT: lambda tokens: texts.draft(tokens, bounds),
        }
        for source, draft in drafters.items():
            places = range(min(len(text), speculation.MAX_TOKENS))
            drafts = [draft([*job.prompt, *text[:place]]) for place in places]
            grades = ("".join(map(str, each.grades)) for each in drafts)
            runs = (common_tokens(each.tokens, text[place:]) for place, each in enumerate(drafts))
            found[source].append([" ".join(grades), "".join(map(str, runs))])
            if source is Source.MODEL:
                found[source][-1].append(_looked_up(job.prompt, text, drafts))
    return found


def _looked_up(prompt: Sequence[int], text: Sequence[int], drafts: Sequence[Draft]) -> str:
    """What can be read along for each token of these drafts, one at each place of the text."""
    ngrams, known, marks = NGrams(), [*prompt], []
    ngrams.add(known, 0, len(known))
    for token, draft in zip(text, drafts, strict=False):
        for place, drafted in enumerate(draft.tokens):
            found = ngrams.after([*known, *draft.tokens[:place]], 1)
            marks += [mark(length, guess == drafted) for guess, length in found] or [mark(0, False)]
        marks.append(" ")
        known.append(token)
        ngrams.add(known, len(known) - 1, len(known))
    return "".join(marks[:-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=f"Record {TRACE} with a pair of models.")
    parser.add_argument("model")
    parser.add_argument("draft")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--source", required=True)
    given = parser.parse_args()
    with Engine.load(given.model, draft=given.draft) as loaded:
        found = record(loaded, standard_library(), given.cases, given.source)
    (Path(__file__).parent / TRACE).write_text(json.dumps(found, indent=1) + "\n")
