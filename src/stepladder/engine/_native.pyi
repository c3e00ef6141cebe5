"""The native engine's compiled part (native/module.cpp). Addresses are those of checked tensors (native.py)."""

from collections.abc import Sequence

class Shape:
    def __init__(self, channels: int, height: int, width: int) -> None: ...

class Window:
    def __init__(self, kernel: int, stride: int, padding: int, dilation: int) -> None: ...

class Layer:
    groups: int
    bias: bool
    norm: bool
    relu: bool
    dropout: float
    drops_channels: bool
    source: int
    epsilon: float
    momentum: float
    parameter: float
    scales: int

class Threads:
    def __init__(self, count: int) -> None: ...
    @property
    def count(self) -> int: ...

class Engine:
    def __init__(self, layers: Sequence[Layer], isa: str, threads: Threads) -> None: ...
    @property
    def isa(self) -> str: ...
    def forward(self, x: int, images: int, tensors: Sequence[tuple[int, ...]], training: bool, key: int, logits: int) -> None: ...
    def backward(self, logits: int, parameters: int, x: int) -> None: ...
    def take_seconds(self) -> list[tuple[float, float]]: ...
    def infer(self, x: int, images: int, tensors: Sequence[tuple[int, ...]], logits: int) -> None: ...

class Rule:
    adam: bool
    momentum: float
    nesterov: bool
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    label_smoothing: float

class Stepper:
    def step(self, x: int, labels: int, images: int, key: int, rate: float, weight: float, figures: int) -> None: ...

def stepper(
    engine: Engine,
    rule: Rule,
    tensors: Sequence[tuple[int, ...]],
    parameters: Sequence[tuple[int, int, int, int, int, int]],
    averages: Sequence[tuple[int, int, int]],
) -> Stepper: ...
def layer(operation: str, input: Shape, output: Shape, window: Window) -> Layer: ...
def batch(
    threads: Threads,
    isa: str,
    images: int,
    available: int,
    chosen: int,
    count: int,
    height: int,
    width: int,
    maps: int,
    mean: Sequence[float],
    deviation: Sequence[float],
    out: int,
) -> None: ...
def isas() -> list[str]: ...
def peak(isa: str, threads: int) -> float: ...
