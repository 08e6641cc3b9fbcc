"""The architectures that are known, one a file, and which one a model is."""

from __future__ import annotations

from flash_engine.architectures.architecture import Architecture, Folding
from flash_engine.architectures.deepseek_v2 import DEEPSEEK_V2
from flash_engine.architectures.gemma import GEMMA
from flash_engine.architectures.granite import GRANITE
from flash_engine.architectures.llama import LLAMA
from flash_engine.architectures.mistral import MISTRAL
from flash_engine.architectures.qwen2 import QWEN2
from flash_engine.architectures.qwen3 import QWEN3
from flash_engine.architectures.qwen3_moe import QWEN3_MOE
from flash_engine.architectures.starcoder2 import STARCODER2
from flash_engine.fields import Fields

ARCHITECTURES = {
    known.model_type: known
    for known in (LLAMA, MISTRAL, QWEN2, QWEN3, QWEN3_MOE, GRANITE, GEMMA, STARCODER2, DEEPSEEK_V2)
}


def of(fields: Fields) -> Architecture:
    """The architecture that `model_type` names. Raises ModelError that lists the known ones."""
    return fields.choice("model_type", ARCHITECTURES)


__all__ = ["ARCHITECTURES", "Architecture", "Folding", "of"]
