"""A model and its draft opened so that they fit the memory: in which precision is decided before they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flash_engine import memory
from flash_engine.checkpoint import Checkpoint
from flash_engine.draft_checkpoint import DraftCheckpoint
from flash_engine.errors import CapacityError
from flash_engine.matrices import Quantization
from flash_engine.memory import DEFAULT_CONTEXT, MemoryPlan
from flash_engine.shapes import matrix_shapes

GROUP = 64
"""Values that share a scale where weights are quantized as they are read."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Models whose weights have not been read yet."""

    checkpoint: Checkpoint
    draft: Checkpoint | None
    plan: MemoryPlan
    bits: int | None
    """Of the model's 16- and 32-bit weights, as they will be read; None: as stored."""


def open_models(
    folder: Path,
    draft: Path | None,
    *,
    device: str,
    working_set: int,
    choices: Sequence[int | None],
    context: int | None,
    draft_required: bool,
) -> Opened:
    """The models, their 16- and 32-bit weights in the first of `choices` (bits; None: as stored) that leaves room for
    the whole context, else in the last.

    draft_required: without it a draft that does not fit is left out. Raises CapacityError, ModelError.
    """
    *larger, smallest = choices
    for bits in larger:
        with contextlib.suppress(CapacityError):
            opened = _open(folder, draft, device, working_set, bits, context, draft_required)
            if opened.plan.context >= min(context or DEFAULT_CONTEXT, opened.checkpoint.config.max_positions):
                return opened
    return _open(folder, draft, device, working_set, smallest, context, draft_required)


def fitting_choices(folder: Path, device: str) -> Sequence[int | None]:
    """What suits the model in `folder`: as stored, else 8 bit, else 4, where that makes a difference (the reference
    backend holds float64 whatever it is given)."""
    checkpoint = Checkpoint(folder)
    dense = any(checkpoint.quantization(name) is None for name in matrix_shapes(checkpoint.config))
    return (None, 8, 4) if dense and device != "reference" else (None,)


def _open(
    folder: Path,
    draft: Path | None,
    device: str,
    working_set: int,
    bits: int | None,
    context: int | None,
    draft_required: bool,
) -> Opened:
    quantization = None if bits is None else Quantization(bits, GROUP)
    checkpoint = Checkpoint(folder, quantize=quantization)
    draft_checkpoint = None if draft is None else DraftCheckpoint(draft, quantize=quantization)
    footprint = memory.measure(checkpoint, device)
    try:
        draft_footprint = None if draft_checkpoint is None else memory.measure(draft_checkpoint, device)
        plan = memory.plan(footprint, draft_footprint, working_set=working_set, context=context)
    except CapacityError:
        if draft_checkpoint is None or draft_required:
            raise
        draft_checkpoint = None
        plan = memory.plan(footprint, working_set=working_set, context=context)
    return Opened(checkpoint, draft_checkpoint, plan, bits)
