"""Speculative decoding on a GPU with random weights: real drafts, verifying passes and rollbacks, acceptance replayed.

Random weights agree on nothing, so how many tokens of a draft are accepted comes from a trace of a real pair of models
(trace.py), or from a made-up one of a given rate; everything else is executed. Plain decoding is the fastest path
without speculation of the same build, in the same run and in turn with the others.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, takewhile
from operator import itemgetter
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from flash_engine.backends.fused import FusedBackend, FusedCache
from flash_engine.config import ModelConfig
from flash_engine.drafting import NOTHING, Chosen, DraftRule, bursts, draft_from
from flash_engine.rope import Rope
from flash_engine.speculation import LONGEST, Ahead, Controller, DraftCosts, Lookup, PassCosts, Source
from flash_engine.speculation.draft import GRADES
from flash_engine.speculation.lookup import Found
from flash_engine.speculation.model import UNREAD
from flash_lsp.bench.gpu import measure, shapes
from flash_lsp.bench.gpu.fused import Fused
from flash_lsp.bench.gpu.run import Progress
from flash_lsp.bench.gpu.shapes import Shape
from flash_lsp.bench.gpu.trace import Acceptance, Looked, Trace
from flash_metal.decoder import Weights
from flash_metal.nvidia.recorded import Recording
from flash_metal.registry import Registry

CAPACITY = 4096
CONTEXT = 2048
RATE = 0.8
"""Acceptance a token of the made-up trace."""
LENGTHS = (2, 3, 4, 5)
"""Tokens that the draft model drafts a round."""
STOPPED = "stopped"
"""As many as the engine's controller wants, by how sure the draft model was of each; a pass for each of them."""
READ_ALONG = "read along"
"""The same, where the draft model reads along what is looked up."""


class Place(NamedTuple):
    """A place in a text: the length of the draft from texts there, 0 for none, and how many tokens of it, and of a
    draft by the draft model, are right; and the grades of that one's tokens, and what could be read along."""

    text: int
    text_right: int
    model_right: int
    grades: tuple[int, ...] = ()
    looked_up: tuple[Looked, ...] = ()

    def found(self, drafted: Sequence[int], most: int) -> Found:
        """What is found behind the tokens drafted; behind a wrong one, what was found behind the right one."""
        looked = self.looked_up[len(drafted) : len(drafted) + most]
        return [(0, length) for length, _ in takewhile(itemgetter(0), looked)]


@dataclass(slots=True)
class Run:
    """What a way of decoding took for some texts."""

    tokens: int = 0
    passes: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def backend(kernels: Registry, shape: Shape, made: Weights, capacity: int = CAPACITY) -> FusedBackend:
    """The fused backend of random weights, its passes from CUDA graphs where they can be recorded."""
    tiling = shapes.tiling(shape)
    heads = shape.heads
    config = ModelConfig(
        model_type="llama",
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_layers=shape.layers,
        num_heads=heads.query,
        num_kv_heads=heads.kv,
        head_dim=heads.size,
        vocab_size=shape.vocabulary,
        max_positions=capacity,
        tie_embeddings=False,
        eos_ids=(),
        rope=Rope(theta=shapes.THETA),
        norm_eps=shapes.EPS,
    )
    recording = (
        Recording(lambda taken: shapes.decoder(taken, tiling, shape, made)) if kernels.records else None
    )
    return FusedBackend(config, capacity, shapes.decoder(kernels, tiling, shape, made), kernels, recording)


def cache(of: FusedBackend, shape: Shape, context: int = CONTEXT) -> FusedCache:
    """One with random rows."""
    made = FusedCache(shapes.random_rows(shape, of.capacity))
    made.hold(context)
    return made


class Bench:
    """Ways to decode behind `context` tokens; each starts there again with every text of a trace."""

    def __init__(self, kernels: Registry, main: Shape, draft: Shape, context: int = CONTEXT) -> None:
        self._context = context
        made = shapes.weights(main, mx.float16, kernels.tile)
        self.decoder = shapes.decoder(kernels, shapes.tiling(main), main, made)
        self.main = backend(kernels, main, made)
        self.draft = backend(kernels, draft, shapes.weights(draft, mx.float16, kernels.tile))
        self._main_cache = cache(self.main, main, context)
        self._draft_cache = cache(self.draft, draft, context)
        self._vocabulary = main.vocabulary

    def plain(self, text: int) -> Run:
        """`text` tokens, the GPU going on by itself for up to 8 of them."""
        kept = self._main_cache
        kept.trim(self._context)
        begin = time.perf_counter()
        found = self.main.greedy([1], kept, text, vocabulary=self._vocabulary)
        return Run(len(found), text, time.perf_counter() - begin)

    def speculative(self, places: Iterator[Place], text: int, drafts: int | Controller) -> Run:
        """`text` tokens, each round with the draft from texts if there is one, else with one by the draft model, of so
        many tokens or as long as the controller says. `places` tells what is accepted at each place."""
        main, draft = self._main_cache, self._draft_cache
        main.trim(self._context)
        draft.trim(self._context)
        given, unread, run = 1, [1], Run()
        begin = time.perf_counter()
        while run.tokens < text:
            place, read = next(places), draft.length
            if place.text:
                tokens = [(given + 1 + i) % self._vocabulary for i in range(place.text)]
                right = place.text_right
            elif isinstance(drafts, int):
                found = (
                    self.draft.greedy(unread, draft, drafts, vocabulary=self._vocabulary) if drafts else []
                )
                tokens, right = [token for token, _ in found], min(place.model_right, drafts)
            else:
                tokens = self._stopped(unread, place, drafts)
                right = min(place.model_right, len(tokens))
            chosen = self.main.choose([given, *tokens], main, vocabulary=self._vocabulary)
            main.trim(main.length - (len(tokens) - right))
            given = chosen[right][0]
            draft.trim(min(draft.length, main.length))
            unread = [*[*unread, *tokens][draft.length - read : main.length - read], given]
            run.tokens += right + 1
            run.passes += 1
            for _ in range(right):
                next(places)
        run.seconds = time.perf_counter() - begin
        return run

    def _stopped(self, unread: Sequence[int], place: Place, controller: Controller) -> list[int]:
        """What is verified of a draft that ends where the controller says, which learns what is right: as by a
        Speculator."""
        acceptance, begin = controller.acceptance[Source.MODEL], time.perf_counter()
        bars = controller.bars(0.0, len(place.grades))
        if not bars:
            controller.decoded_plainly(1, 0.0)
            return []
        rule = DraftRule(bars, acceptance.chances, np.zeros(self._vocabulary, bool))
        drafted = self._drafted(unread, rule, place, controller.lookup)
        seconds = time.perf_counter() - begin
        expected = controller.draft_costs.seconds(len(drafted))
        controller.draft_costs.measured(len(drafted), seconds)
        grades = place.grades[: len(drafted)]
        for at, grade in enumerate(grades[: place.model_right + 1]):
            acceptance.judge(grade, at < place.model_right)
        length, _ = controller.best_length(Source.MODEL, grades, min(seconds, expected))
        committed = 1 + min(length, place.model_right)
        seconds = min(seconds, max(2 * expected, controller.costs.seconds(1)))
        controller.finished(Source.MODEL, committed, seconds + controller.costs.seconds(1 + length))
        return drafted[:length]

    def _drafted(
        self, unread: Sequence[int], rule: DraftRule, place: Place, lookup: Lookup | None
    ) -> list[int]:
        """A draft by the rule, as if its tokens were as sure, and what is read along as right, as at this place."""
        cache, along = self._draft_cache, Ahead(lookup, place.found) if lookup else NOTHING
        if len(unread) > UNREAD:
            self.draft.forward(unread[:-UNREAD], cache, logits=0)
        unread, start = unread[-UNREAD:], cache.length
        with self.draft.choosing(cache, vocabulary=self._vocabulary) as read:

            def replayed(tokens: Sequence[int], position: int, choices: int) -> Chosen:
                chosen = read(tokens, position, choices)
                ahead = tokens[len(tokens) - choices + 1 :]
                first = position + len(tokens) - len(ahead) - start - len(unread)
                ids = [
                    token if place.looked_up[first + at][1] else token + 1 for at, token in enumerate(ahead)
                ]
                grades = place.grades[first : first + choices]
                logprobs = [math.log((grade + 0.5) / GRADES) for grade in grades]
                return list(zip([*ids, chosen[-1][0]], logprobs, strict=True))

            steps = bursts(replayed, unread, start, len(rule.bars), along)
            drafted = [token for token, _ in draft_from(steps, rule)]
        cache.hold(start + len(unread) + len(drafted) - 1)
        return drafted

    def pass_ms(self, of: FusedBackend, tokens: int, rounds: int) -> float:
        """A pass of `tokens`, with what is chosen after each on the host: the median."""
        kept = self._main_cache if of is self.main else self._draft_cache
        found = []
        for _ in range(rounds):
            kept.trim(self._context)
            begin = time.perf_counter()
            of.choose([1] * tokens, kept, vocabulary=self._vocabulary)
            found.append(time.perf_counter() - begin)
        return 1e3 * statistics.median(found)

    def drafting_ms(self, count: int, rounds: int) -> float:
        """Drafting `count` tokens, the first after two that are unread."""
        found = []
        for _ in range(rounds):
            self._draft_cache.trim(self._context)
            begin = time.perf_counter()
            self.draft.greedy([1, 2], self._draft_cache, count, vocabulary=self._vocabulary)
            found.append(time.perf_counter() - begin)
        return 1e3 * statistics.median(found)


def run(
    kernels: Registry,
    main: Shape,
    draft: Shape,
    *,
    trace: Trace | None = None,
    context: int = CONTEXT,
    tokens: int = 48,
    texts: int = 24,
    rounds: int = 20,
    progress: Progress = lambda stage, share: None,
) -> dict[str, Any]:
    """Speed-ups over plain decoding with drafts of the model at each of LENGTHS, STOPPED and READ_ALONG, of texts, and
    of both.

    trace: the package's unless given. Of each source and workload of it, of RATE, and of the recorded texts about RATE
    (Acceptance.near), up to `texts` texts of `tokens`.
    rounds: of each measured pass.
    """
    trace = trace or Trace.load()
    made_up = Acceptance.at_rate(RATE, texts=texts, tokens=tokens)
    progress("random weights", 0.0)
    bench = Bench(kernels, main, draft, context)
    progress("passes", 0.2)
    for size in range(1, LONGEST + 2):  # each is recorded or compiled at its first use
        bench.pass_ms(bench.main, size, 1)
        bench.pass_ms(bench.draft, size, 1)
    passes, draft_passes = (
        {size: bench.pass_ms(backend, size, rounds) for size in range(1, LONGEST + 2)}
        for backend in (bench.main, bench.draft)
    )
    bench.drafting_ms(LONGEST, 1)
    drafting = {count: bench.drafting_ms(count, rounds) for count in range(1, LONGEST + 1)}
    progress("pipelined by MLX", 0.3)
    pipelined = _pipelined(bench, main, context)
    found: dict[str, Any] = {
        "context": context,
        "replayed": trace.source,
        "pass_ms": passes,
        "v": {size: ms / passes[1] for size, ms in passes.items()},
        "draft_pass_ms": draft_passes,
        "drafting_ms": drafting,
        "draft_token_ms": (drafting[LONGEST] - drafting[1]) / (LONGEST - 1),
        "plain_by_mlx_tokens_s": pipelined,
        "acceptance": {
            "model": {name: _accepted(each) for name, each in trace.model.items()},
            "text": {name: _accepted(each) for name, each in trace.text.items()},
            f"{RATE:.0%} a token": _accepted(made_up),
        },
    }
    rate = f"{RATE:.0%} a token"
    near = Acceptance.joined(list(trace.model.values())).near(RATE, texts)
    found["acceptance"][f"{rate}, recorded"] = _accepted(near)
    models = {**trace.model, f"{rate}, recorded": near, rate: made_up}
    texts_by = {rate: made_up, **trace.text}
    drafts: tuple[int | str, ...] = (*LENGTHS, STOPPED, READ_ALONG)
    make = partial(_controller, passes, draft_passes, 1e-3 * drafting[1], 1e-3 * found["draft_token_ms"])
    measured: dict[str, tuple[dict[str, list[list[Place]]], tuple[int | str, ...]]] = {
        "model": ({key: _places(each, None) for key, each in models.items()}, drafts),
        "text": ({key: _places(None, each) for key, each in texts_by.items()}, (0,)),
        "both": ({key: _places(trace.model[key], each) for key, each in trace.text.items()}, drafts),
    }
    for share, (name, (workloads, ways)) in enumerate(measured.items()):
        progress(f"drafts: {name}", 0.4 + 0.2 * share)
        found[name] = {
            key: _in_turn(bench, places[:texts], _ways(ways, make), tokens, pipelined)
            for key, places in workloads.items()
        }
    found["speedups"] = {
        name: {
            workload: max(each["speedup"] for each in way["by_draft_length"].values())
            for workload, way in ways.items()
        }
        for name, ways in ((name, found[name]) for name in measured)
    }
    progress("done", 1.0)
    return found


def _pipelined(bench: Bench, shape: Shape, context: int) -> float:
    """Plain decoding as `flash-lsp bench gpu` has it: each step queued before the last is read."""
    model = Fused(bench.decoder, shape, CAPACITY)
    rate: float = measure.decode(model, context, steps=64, rounds=3)["tokens_s"]
    return rate


def _accepted(acceptance: Acceptance) -> dict[str, Any]:
    return {"first": acceptance.rate, "by_position": acceptance.by_position()}


def _controller(
    passes: Mapping[int, float], draft_passes: Mapping[int, float], first: float, further: float, way: str
) -> Controller:
    """That of a new engine. passes, draft_passes: milliseconds of 1 to 8 tokens; first, further: seconds of a drafted
    token."""
    costs, draft_costs = (PassCosts([1e-3 * ms for ms in each.values()]) for each in (passes, draft_passes))
    return Controller(costs, DraftCosts(first, further), Lookup(draft_costs) if way == READ_ALONG else None)


def _ways(
    drafts: Sequence[int | str], make: Callable[[str], Controller]
) -> dict[int | str, int | Controller]:
    """Drafts as Bench.speculative takes them."""
    return {each: each if isinstance(each, int) else make(each) for each in drafts}


def _in_turn(
    bench: Bench,
    places: list[list[Place]],
    ways: dict[int | str, int | Controller],
    tokens: int,
    pipelined: float,
) -> dict[str, Any]:
    """Text by text: plain, then speculatively with each way of drafting with the model, on the same text."""
    plain, sums = Run(), {way: Run() for way in ways}
    for number in range(len(places)):
        _add(plain, bench.plain(tokens))
        for way, drafts in ways.items():
            rest = [*places[number:], *places[:number]]
            _add(sums[way], bench.speculative(chain.from_iterable(cycle(rest)), tokens, drafts))
    fastest = max(plain.rate, pipelined)
    return {
        "plain_tokens_s": plain.rate,
        "by_draft_length": {
            way: {
                "tokens_s": each.rate,
                "tokens_per_pass": each.tokens / each.passes,
                "speedup": each.rate / fastest,
            }
            for way, each in sums.items()
        },
    }


def _places(model: Acceptance | None, text: Acceptance | None) -> list[list[Place]]:
    """By text, what each of the sources would have accepted; None: it is not used."""
    sizes = [len(each) for source in (model, text) if source for each in source.texts]
    nothing = Acceptance.of_chances([[False] * size for size in sizes])
    by_text = text.texts if text else [[(0, 0)] * size for size in sizes]
    by_model = model or nothing
    return [
        [
            Place(*drafted, right, grades, looked)
            for drafted, (_, right), grades, looked in zip(*sources, strict=True)
        ]
        for sources in zip(by_text, by_model.texts, by_model.grades, by_model.looked_up, strict=True)
    ]


def _add(to: Run, more: Run) -> None:
    to.tokens += more.tokens
    to.passes += more.passes
    to.seconds += more.seconds
