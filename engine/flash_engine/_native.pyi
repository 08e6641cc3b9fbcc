import builtins
from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

bindings: str

def supported_isas() -> list[str]: ...
def argmax_logprob(
    logits: NDArray[np.float32], allowed: NDArray[np.int32] | None = None
) -> tuple[int, float]: ...
def read_bandwidth(bytes: int, threads: int) -> float: ...
def product_rate(isa: str, threads: int) -> float: ...

class Flag:
    def __init__(self) -> None: ...
    def set(self) -> None: ...

class Laps:
    def __init__(self) -> None: ...
    @property
    def seconds(self) -> dict[str, float]: ...

class Arena:
    def __init__(self) -> None: ...

class Matrix:
    def __init__(self, rows: int, k: int, bits: int, group: int, arena: Arena) -> None: ...
    def fill(
        self,
        block: int,
        step: int,
        weight: NDArray[np.uint32],
        scales: NDArray[np.uint16],
        biases: NDArray[np.uint16],
    ) -> None: ...
    def fill_halves(self, block: int, step: int, values: NDArray[np.uint16]) -> None: ...
    @property
    def bytes(self) -> int: ...

class KVCache:
    @property
    def length(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def trim(self, length: int) -> None: ...
    def fork(self) -> KVCache: ...
    # By its full name: `bytes` is a property here.
    def save(self) -> builtins.bytes: ...
    def restore(self, data: builtins.bytes, length: int) -> None: ...

class AttentionShape:
    def __init__(self, heads: int, kv_heads: int, key_dim: int, value_dim: int) -> None: ...

class Linear:
    def __init__(self, matrix: Matrix, bias: Sequence[float]) -> None: ...

class Norm:
    def __init__(self, weight: Sequence[float], bias: Sequence[float], epsilon: float) -> None: ...

class HeadProjection: ...

class JoinedHeads(HeadProjection):
    def __init__(self, *, qkv: Linear, query_norm: Norm, key_norm: Norm) -> None: ...

class LatentHeads(HeadProjection):
    def __init__(
        self,
        *,
        down: Linear,
        query_norm: Norm,
        query_up: Linear | None,
        kv_norm: Norm,
        kv_up: Linear,
        rope_dim: int,
    ) -> None: ...

class Attention:
    def __init__(self, output: Linear, window: int) -> None: ...

class Activation(Enum):
    silu = 0
    gelu = 1
    gelu_tanh = 2

class FeedForward: ...

class Mlp(FeedForward):
    def __init__(self, *, input: Linear, down: Linear, activation: Activation, gated: bool) -> None: ...

class Choice:
    def __init__(
        self,
        *,
        experts: int,
        per_token: int,
        groups: int,
        groups_per_token: int,
        normalize: bool,
        scale: float,
    ) -> None: ...

class Experts(FeedForward):
    def __init__(
        self, *, router: Linear, experts: Sequence[Mlp], shared: Mlp | None, choice: Choice
    ) -> None: ...

class Layer:
    def __init__(
        self,
        *,
        attention_norm: Norm,
        heads: HeadProjection,
        attention: Attention,
        feed_forward_norm: Norm,
        feed_forward: FeedForward,
    ) -> None: ...

class RopeTable:
    def __init__(self, cosines: Sequence[float], sines: Sequence[float]) -> None: ...

class Model:
    def __init__(
        self,
        *,
        shape: AttentionShape,
        embedding: Matrix,
        embedding_scale: float,
        layers: Sequence[Layer],
        norm: Norm,
        head: Linear,
        rope: RopeTable,
        isa: str,
        threads: int,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def weight_bytes(self) -> dict[str, int]: ...
    def new_cache(self) -> KVCache: ...
    def forward(
        self,
        tokens: Sequence[int],
        cache: KVCache,
        wanted: int,
        cancel: Flag | None = None,
        laps: Laps | None = None,
    ) -> NDArray[np.float32] | None: ...
    def choose(
        self,
        tokens: Sequence[int],
        cache: KVCache,
        choices: int,
        vocabulary: int,
        cancel: Flag | None = None,
    ) -> list[tuple[int, float]] | None: ...
