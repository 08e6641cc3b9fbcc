"""The memory plan: what a model, its draft and their KV caches take of a device, decided before anything is loaded.

Everything here is arithmetic on shapes. Bytes; GB is 10^9.
"""

from __future__ import annotations

from dataclasses import dataclass

from flash_engine.checkpoint import Checkpoint, matrix_shapes
from flash_engine.errors import CapacityError
from flash_engine.matrices import Quantization
from flash_engine.shapes import share_read

DEFAULT_CONTEXT = 4096
"""Tokens of context unless asked for, or the model has fewer positions, or the memory is short."""

SMALLEST_CONTEXT = 1024
"""Below this a prompt holds too little of a file to be worth a model's time."""

MOST_CACHES = 8
"""Documents whose KV cache is kept: more are seldom edited in turn."""

PROCESS_BYTES = 150_000_000
"""Python, tokenizer, prompt caches: measured on Linux with the bundled model, rounded up."""

_SLICE_TOKENS = 128
"""Tokens whose activations exist at once; the backends cut longer passes."""

_LOGIT_ROWS = 16
_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model takes."""

    weights: int
    """Bytes of all weights."""
    kv_token: int
    """Bytes of int8 keys and values of one token, their float32 scales included."""
    scratch: int
    """Bytes of activations and logits."""
    positions: int
    """Tokens of context that the model was made for."""
    token_weights: int
    """Bytes of weights that one token reads: of a mixture of experts, those that it chooses."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What will be taken, in bytes, and how much context that leaves."""

    working_set: int
    """Bytes that the device can give to models."""
    context: int
    """Tokens that a KV cache holds."""
    caches: int
    """KV caches (documents) that fit at once."""
    weights: int
    draft_weights: int
    kv: int
    """One full KV cache of the model."""
    draft_kv: int
    """One full KV cache of the draft."""
    scratch: int
    process: int = PROCESS_BYTES

    @property
    def total(self) -> int:
        """Bytes with one document open."""
        return self.weights + self.draft_weights + self.kv + self.draft_kv + self.scratch + self.process

    @property
    def cache_budget(self) -> int:
        """Bytes for the KV caches of all documents."""
        return self.caches * (self.kv + self.draft_kv)

    def __str__(self) -> str:
        """`5.1 GB of 11.5: weights 3.8, draft 0.8, KV of 4096 tokens 1.1 + 0.4, the rest 0.2; room for 8 documents`"""
        draft = f", draft {gigabytes(self.draft_weights)}" if self.draft_weights else ""
        draft_kv = f" + {gigabytes(self.draft_kv)}" if self.draft_kv else ""
        return (
            f"{gigabytes(self.total)} GB of {gigabytes(self.working_set)}: weights {gigabytes(self.weights)}{draft}, "
            f"KV cache of {self.context} tokens {gigabytes(self.kv)}{draft_kv}, "
            f"the rest {gigabytes(self.scratch + self.process)}; "
            f"room for {self.caches} document{'s' if self.caches > 1 else ''}"
        )


def plan(
    model: Footprint, draft: Footprint | None = None, *, working_set: int, context: int | None = None
) -> MemoryPlan:
    """The plan for `model` and its `draft` in `working_set` bytes.

    context: tokens that must fit; None: DEFAULT_CONTEXT, halved down to SMALLEST_CONTEXT until it fits. Raises
    CapacityError, which says what would fit, if not even that does, or if the model has fewer positions than
    `context`.
    """
    if context is not None and not 1 <= context <= model.positions:
        raise CapacityError(f"a context of {context} tokens is not possible: the model has {model.positions}")
    wanted = [context] if context is not None else _contexts(model.positions)
    for tokens in wanted:
        candidate = _with_context(model, draft, working_set, tokens)
        if candidate.caches:
            return candidate
    raise CapacityError(_refusal(model, draft, working_set, wanted[-1]))


def measure(checkpoint: Checkpoint, device: str) -> Footprint:
    """The footprint of a model on a resolved device."""
    config = checkpoint.config
    exact = device == "reference"
    parameters = {name: rows * columns for name, (rows, columns) in matrix_shapes(config).items()}
    stored = sum(size * _bits(checkpoint.quantization(name)) for name, size in parameters.items())
    active = sum(round(size * share_read(config, name)) for name, size in parameters.items())
    return footprint(
        sum(parameters.values()),
        active=active,
        layers=config.num_layers,
        hidden=config.hidden_size,
        ffn=config.intermediate_size,
        kv_heads=config.num_kv_heads,
        head_dim=(config.key_dim + config.value_dim) // 2,
        vocab=config.vocab_size,
        positions=config.max_positions,
        bits=64 if exact else stored / sum(parameters.values()),
        kv_bytes=8 if exact else 1,
    )


def footprint(
    parameters: int,
    *,
    layers: int,
    hidden: int,
    ffn: int,
    kv_heads: int,
    head_dim: int,
    vocab: int,
    positions: int,
    bits: float = 4.5,
    kv_bytes: int = 1,
    active: int | None = None,
) -> Footprint:
    """The footprint of a model with `parameters` weights of `bits` each (4-bit values in groups of 64 with 16-bit scale
    and bias: 4.5), of which a token reads `active` (None: all), and `kv_bytes` a cached number."""
    activations = _SLICE_TOKENS * (6 * hidden + 3 * ffn) * 4
    return Footprint(
        weights=int(parameters * bits / 8),
        kv_token=2 * layers * kv_heads * (head_dim * kv_bytes + _SCALE_BYTES),
        scratch=activations + _LOGIT_ROWS * vocab * 4,
        positions=positions,
        token_weights=int((parameters if active is None else active) * bits / 8),
    )


def gigabytes(size: int) -> str:
    """`size` bytes in GB, two digits that count."""
    return f"{size / 1e9:.2f}" if size < 1e9 else f"{size / 1e9:.1f}"


def _bits(quantization: Quantization | None) -> float:
    return 16 if quantization is None else quantization.bits + 32 / quantization.group_size


def _contexts(positions: int) -> list[int]:
    tokens = min(DEFAULT_CONTEXT, positions)
    contexts = [tokens]
    while tokens > SMALLEST_CONTEXT:
        tokens = max(tokens // 2, SMALLEST_CONTEXT)
        contexts.append(tokens)
    return contexts


def _with_context(model: Footprint, draft: Footprint | None, working_set: int, context: int) -> MemoryPlan:
    kv = model.kv_token * context
    draft_kv = draft.kv_token * context if draft else 0
    draft_weights = draft.weights if draft else 0
    scratch = max(model.scratch, draft.scratch if draft else 0)
    room = working_set - model.weights - draft_weights - scratch - PROCESS_BYTES
    caches = max(0, min(room // (kv + draft_kv), MOST_CACHES))
    return MemoryPlan(working_set, context, caches, model.weights, draft_weights, kv, draft_kv, scratch)


def _refusal(model: Footprint, draft: Footprint | None, working_set: int, context: int) -> str:
    need = _with_context(model, draft, working_set, context).total
    problem = (
        f"the model{' with its draft' if draft else ''} needs {gigabytes(need)} GB with a context of {context} "
        f"tokens, {gigabytes(working_set)} GB can be used"
    )
    fitting = []
    for tokens in (tokens for tokens in _contexts(model.positions) if tokens < context):
        if _with_context(model, draft, working_set, tokens).caches:
            fitting.append(f"a context of {tokens} tokens")
            break
    if draft and _with_context(model, None, working_set, context).caches:
        fitting.append("the model without its draft")
    if not fitting:
        free = working_set - model.scratch - PROCESS_BYTES - model.kv_token * SMALLEST_CONTEXT
        billions = free / (4.5 / 8) / 1e9
        fitting.append(
            f"a model of at most {billions:.1f} billion parameters at 4 bit" if billions > 0.1 else "no model"
        )
    return f"{problem}: {' or '.join(fitting)} would fit"
