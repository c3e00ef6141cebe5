"""`engine="native"`: whole networks forward and backward in C++ (native/), on the CPU.

A network is the `nn.Sequential` of engine/plain.py, with the same parameters and buffers under the same names, whose
forward is one `autograd.Function`: torch's optimizers, losses and state dicts work on it unchanged. The bits are the same
for any number of threads.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from stepladder.engine import plain
from stepladder.engine.kernels import Kernel, lower
from stepladder.engine.slots import Slot, address, check, places, slots_of, tensor_at
from stepladder.spec import AdamW, Network, Recipe, UserError


class EngineError(UserError):
    """Why the native engine cannot be loaded; says what can be done instead."""


@cache
def extension() -> Any:
    """The compiled extension; raises EngineError where it is missing or does not load."""
    try:
        from stepladder.engine import _native
    except ImportError as error:
        raise EngineError(
            f'the native engine is not built ({error}): build it with `make setup`, or choose engine="torch"'
        ) from error
    return _native


@cache
def isa() -> str:
    """The instruction set that is used: the fastest this processor has, or the one that STEPLADDER_ISA names."""
    names: list[str] = extension().isas()
    chosen = os.environ.get("STEPLADDER_ISA") or names[0]
    if chosen not in names:
        raise EngineError(f"STEPLADDER_ISA is {chosen!r}, expected one that this processor has: {', '.join(names)}")
    return chosen


_own_threads: int | None = None


def use_threads(count: int) -> None:
    """Networks built and batches made from now on run on `count` threads of the engine's own; torch is left with one.

    (Its small operations gain nothing from more, and its idle threads spin on the cores that these need.) Without this,
    they run on as many as torch has.
    """
    global _own_threads
    _own_threads = count
    torch.set_num_threads(1)


def threads() -> int:
    """On how many threads networks built now will run."""
    return _own_threads or torch.get_num_threads()


@cache
def _workers(count: int) -> Any:
    """Worker threads, shared by all networks of this process that run on as many."""
    return extension().Threads(count)


def build(network: Network, dropout: float, generator: torch.Generator) -> nn.Sequential:
    """The module of a network; raises UserError for a layer that this engine does not know."""
    return Native(network, dropout, generator)


def lend(module: nn.Module, network: Network, names: Sequence[str], dropout: float, generator: torch.Generator) -> None:
    """Make the forward of a module that of a network which computes the same, here, on the module's own tensors: `names` are
    those of the tensors in the state dict of the network's plain module, in its order."""
    state = plain.build(network, dropout, generator).state_dict()
    slots = slots_of(module, lower(network, dropout), dict(zip(state, names, strict=True)))
    vars(module)["forward"] = partial(_Run(network, dropout, generator, slots), module)


def batch(images: Tensor, chosen: Tensor, maps: Tensor | None, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images (n, channels, height, width), uint8, at the indices `chosen` (int64), through their maps (chosen, 2, 3) if any.

    Returns (chosen, channels, height, width), float32, resampled once, with each channel's mean and deviation removed. Raises
    IndexError for an index that no image has.
    """
    check("images", images, torch.uint8, (None, len(mean), None, None))
    check("chosen", chosen, torch.int64, (None,))
    if len(std) != len(mean):
        raise ValueError(f"std has {len(std)} values, expected one a channel: {len(mean)}")
    if maps is not None:
        check("maps", maps, torch.float32, (len(chosen), 2, 3))
    _, channels, height, width = images.shape
    out = images.new_empty(len(chosen), channels, height, width, dtype=torch.float32)
    extension().batch(
        _workers(threads()), isa(), images.data_ptr(), len(images), chosen.data_ptr(), len(chosen), height, width,
        0 if maps is None else maps.data_ptr(), mean, std, out.data_ptr(),
    )  # fmt: skip
    return out


Number = float | Tensor
Update = Callable[[Tensor, Tensor, Number, Number], Tensor]
"""Trains a model on a batch (n, channels, height, width) with labels (n,), at a learning rate, its new weights counting so much in
the average; returns (2,): the loss, summed over the images, and how many were answered right."""


def runs(model: nn.Module, averages: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Whether a model's forward runs here, each of its parameters is that of one layer alone (else their gradients are to be added
    up), and its averages are of numbers that compiled code takes."""
    run = _run_of(model)
    if run is None or len({tensor_at(model, slot).data_ptr() for slot in run.trained}) < len(run.trained):
        return False
    return all(tensor.dtype is torch.float32 and tensor.is_cpu and tensor.is_contiguous() for pair in averages for tensor in pair)


def updater(
    model: nn.Module, recipe: Recipe, kept: dict[Tensor, tuple[Tensor, ...]], averages: Sequence[tuple[Tensor, Tensor]]
) -> Update:
    """One call of compiled code for all of a step of a model that `runs` here.

    `kept` is what the optimizer keeps of each parameter (`state.kept`), `averages` each tensor of the average with its source.
    All these tensors are written where they are now.
    """
    run = _run_of(model)
    assert run is not None
    parameters = []
    for slot, (_, _, offset) in zip(run.trained, run.places, strict=True):
        parameter = tensor_at(model, slot)
        addresses = [tensor.data_ptr() for tensor in kept[parameter]]
        parameters.append((parameter.data_ptr(), offset, parameter.numel(), *addresses, *[0] * (3 - len(addresses))))
    averaged = [(average.data_ptr(), source.data_ptr(), average.numel()) for average, source in averages]
    step = extension().stepper(run.engine, _rule(recipe), run.addresses(model), parameters, averaged).step
    held = (model, kept, averages)

    def update(x: Tensor, labels: Tensor, rate: Number, weight: Number) -> Tensor:
        assert held  # the tensors live as long as their addresses are written to
        run.check_batch(x)
        check("labels", labels, torch.int64, (len(x),))
        figures = x.new_empty(2, dtype=torch.float64)
        key = run.draw(len(x))
        run.passes += 2  # what an earlier forward kept is gone
        step(x.data_ptr(), labels.data_ptr(), len(x), key, rate, weight, figures.data_ptr())
        return figures

    return update


def _run_of(model: nn.Module) -> "_Run | None":
    run = model.run if isinstance(model, Native) else getattr(vars(model).get("forward"), "func", None)
    return run if isinstance(run, _Run) else None


def _rule(recipe: Recipe) -> Any:
    """What a recipe asks of every step."""
    rule = extension().Rule()
    rule.weight_decay, rule.label_smoothing = recipe.weight_decay, recipe.label_smoothing
    match recipe.optimizer:
        case AdamW(beta1, beta2, epsilon):
            rule.adam, rule.beta1, rule.beta2, rule.epsilon = True, beta1, beta2, epsilon
        case None:
            rule.momentum, rule.nesterov = recipe.momentum, recipe.nesterov
    return rule


class Native(nn.Sequential):
    """The plain module of a network, whose forward runs in the native engine."""

    def __init__(self, network: Network, dropout: float, generator: torch.Generator) -> None:
        super().__init__(OrderedDict(plain.build(network, dropout, generator).named_children()))
        self.run = _Run(network, dropout, generator, slots_of(self, lower(network, dropout)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width)."""
        return self.run(self, x)


class _Run:
    """A network in the native engine, and where a module has its tensors."""

    def __init__(self, network: Network, dropout: float, generator: torch.Generator, slots: list[list[Slot | None]]) -> None:
        self.network, self.dropout, self.generator = network, dropout, generator
        self.threads = threads()
        self.passes = 0
        self.slots = slots
        self.trained = [slot for layer in slots for slot in layer if slot and slot.trained]
        self.places = places(self.trained)
        self.engine: Any = self._compiled()

    def _compiled(self) -> Any:
        return extension().Engine(_compiled(lower(self.network, self.dropout)), isa(), _workers(self.threads))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has an engine of its own."""
        self.__dict__.update(state)
        self.engine = self._compiled()

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width), by the tensors of the module."""
        self.check_batch(x)
        tensors = self.addresses(module)
        if not module.training and not torch.is_grad_enabled():
            logits = x.new_empty(len(x), self.network.classes)
            self.engine.infer(x.data_ptr(), len(x), tensors, logits.data_ptr())
            return logits
        key = self.draw(len(x)) if module.training else 0
        self.passes = number = self.passes + 1  # before the pass itself, which other threads may overtake
        parameters = [tensor_at(module, slot) for slot in self.trained]
        found: Tensor = _Pass.apply(self, number, tensors, key, module.training, x, *parameters)  # type: ignore[no-untyped-call]
        return found

    def check_batch(self, x: Tensor) -> None:
        """Raise TypeError or ValueError for what is no float32 batch (n, channels, height, width) as the network takes."""
        check("the batch", x, torch.float32, (None, *self.network.input))
        if not len(x):
            raise ValueError("the batch holds no images, expected at least one")

    def addresses(self, module: nn.Module) -> list[tuple[int, ...]]:
        """Where each layer's tensors are."""
        return [tuple(address(module, slot) for slot in layer) for layer in self.slots]

    def draw(self, images: int) -> int:
        """The key of a training pass's dropout; raises ValueError as torch does where a batch's statistics would be those of one
        value."""
        if images == 1 and (layer := self.network.point_norm):
            raise ValueError(f"{layer}: expected more than one value a channel when training, got one image of 1 x 1")
        return int(torch.randint(2**62, (), generator=self.generator))


class _Pass(torch.autograd.Function):
    """Forward and backward of a whole network."""

    @staticmethod
    def forward(
        ctx: Any, run: _Run, number: int, tensors: list[Any], key: int, training: bool, x: Tensor, *parameters: Tensor
    ) -> Tensor:
        logits = x.new_empty(len(x), run.network.classes)
        run.engine.forward(x.data_ptr(), len(x), tensors, training, key, logits.data_ptr())
        ctx.run, ctx.number, ctx.batch = run, number, x.shape
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        run = ctx.run
        if ctx.number != run.passes:
            raise RuntimeError(
                "the activations that this backward needs are gone: the native engine keeps those of the last forward pass, for "
                'one backward. Call forward again, or choose engine="torch"'
            )
        run.passes += 1  # the activations have become gradients: a second backward has nothing to go on
        flat = gradient.new_empty(run.network.parameters)
        x = gradient.new_empty(ctx.batch) if ctx.needs_input_grad[5] else None
        gradient = gradient.contiguous()  # of a few numbers; its layout is autograd's choice, not the caller's
        run.engine.backward(gradient.data_ptr(), flat.data_ptr(), 0 if x is None else x.data_ptr())
        return None, None, None, None, None, x, *(flat.as_strided(*place) for place in run.places)


FINISH = (
    *("groups", "bias", "norm", "relu", "dropout", "drops_channels", "source"),
    *("epsilon", "momentum", "parameter", "scales"),
)
"""Fields of a kernel that the compiled engine's layer has too."""


def _compiled(found: list[Kernel]) -> list[Any]:
    """The compiled engine's layers."""
    made = extension()
    layers = []
    for kernel in found:
        shapes = made.Shape(*kernel.input), made.Shape(*kernel.output)
        layer = made.layer(kernel.operation, *shapes, made.Window(*kernel.window))
        for field in FINISH:
            setattr(layer, field, getattr(kernel, field))
        layers.append(layer)
    return layers
