"""Records what a real pair of models accepts: `python -m flash_lsp.bench.gpu.record MODEL DRAFT --source TEXT`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flash_engine import Engine
from flash_engine.speculation import LONGEST, Bounds, TextDrafter
from flash_lsp.bench import speculation
from flash_lsp.bench.gpu.trace import TRACE, run_of_right
from flash_lsp.bench.quality import standard_library


def record(engine: Engine, sources: Path, count: int, source: str) -> dict[str, Any]:
    """The content of TRACE, of an engine with a draft model and `count` cases of each workload.

    model: for each text a digit a token, 1 where the draft model's most likely token after the same text is the main
    model's. text: for each text two strings, at each place the length of the draft from texts, and how much is right.
    """
    bench = speculation.Bench(engine, sources, count)
    workloads = {"infill": bench.infill, "edit": bench.edit, "fresh": bench.fresh}
    recorded = {
        name: engine.submit(partial(_record, engine, list(make()))).result()
        for name, make in workloads.items()
    }
    return {"source": source, "workloads": recorded}


def _record(engine: Engine, jobs: Sequence[speculation.Job]) -> dict[str, Any]:
    assert engine.draft is not None
    model, text = [], []
    drafter = TextDrafter(engine.corpus)
    bounds = Bounds(engine.tokenizer, LONGEST, b"", frozenset(), b"")
    for job in jobs:
        plain = engine.plain_session()
        plain.sync(job.prompt)
        tokens = [token.id for token in plain.generate(max_tokens=speculation.MAX_TOKENS)]
        if not tokens:
            continue
        whole = [*job.prompt, *tokens]
        rows = engine.draft.forward(whole[:-1], engine.draft.new_cache(), logits=len(tokens))
        right = rows[:, : engine.tokenizer.vocab_size].argmax(-1) == tokens
        model.append("".join("1" if each else "0" for each in right))
        engine.corpus.update("buffer", job.buffer)
        while engine.corpus.step():
            pass
        drafts = [drafter.draft(whole[:place], bounds).tokens for place in range(len(job.prompt), len(whole))]
        runs = [
            run_of_right([a == b for a, b in zip(draft, tokens[at:], strict=False)])
            for at, draft in enumerate(drafts)
        ]
        text.append(["".join(map(str, map(len, drafts))), "".join(map(str, runs))])
    return {"model": model, "text": text}


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
