"""Inference for code completion: int4 models, exact KV reuse, cancellable generation."""

from flash_engine.backend import Backend, KVCache, Logits
from flash_engine.cancel import Cancel
from flash_engine.checkpoint import Checkpoint
from flash_engine.config import ModelConfig
from flash_engine.engine import Engine
from flash_engine.errors import Cancelled, CapacityError, DeviceError, FlashError, ModelError
from flash_engine.generation import Finish, Generation, Token
from flash_engine.matrices import DenseMatrix, Matrix, Quantization, QuantizedMatrix
from flash_engine.session import Session
from flash_engine.tokenizer import Tokenizer

__all__ = [
    "Backend",
    "Cancel",
    "Cancelled",
    "CapacityError",
    "Checkpoint",
    "DenseMatrix",
    "DeviceError",
    "Engine",
    "Finish",
    "FlashError",
    "Generation",
    "KVCache",
    "Logits",
    "Matrix",
    "ModelConfig",
    "ModelError",
    "Quantization",
    "QuantizedMatrix",
    "Session",
    "Token",
    "Tokenizer",
]
