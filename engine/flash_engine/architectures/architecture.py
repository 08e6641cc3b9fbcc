"""What an architecture's file says: how config.json is read, how tensors are called, what goes into weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flash_engine.config import ModelConfig
from flash_engine.fields import Fields


@dataclass(frozen=True, slots=True)
class Folding:
    """Constants that a Checkpoint puts into the weights as it hands them out, so that no backend knows them."""

    residual: float = 1.0
    """Factor of what each block adds to the hidden state: goes into o_proj and down_proj."""
    logits: float = 1.0
    """Factor of the logits: goes into the final norm."""
    norm_offset: float = 0.0
    """Added to the stored weights of RMS norms."""
    adjacent_pairs: bool = False
    """Whether the rotary part of MLA's queries and keys turns pairs (2 i, 2 i + 1), not (i, i + dim / 2)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    model_type: str
    """As config.json calls it."""
    config: Callable[[Fields], ModelConfig]
    """Raises ModelError that names the field."""
    folding: Callable[[Fields], Folding] = lambda fields: Folding()
    names: Mapping[str, str] = field(default_factory=dict)
    """Part of a canonical tensor name (Hugging Face's llama) -> what stands there in this architecture."""

    def stored_name(self, name: str) -> str:
        """The name in Hugging Face's files of this architecture for the canonical `name`."""
        for canonical, stored in self.names.items():
            name = name.replace(canonical, stored)
        return name
