"""Reads a torch module as a network: what it computes, its layer table, and the layers that say the same."""

import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn

from stepladder.anatomy import Row
from stepladder.networks import identity
from stepladder.networks.lowering import lower
from stepladder.networks.module import Lowered, Module
from stepladder.networks.operations import Refused
from stepladder.networks.replay import hidden
from stepladder.networks.state import one_thread, seeded
from stepladder.spec import SpecError, shown
from stepladder.spec.network import MOST_PARAMETERS
from stepladder.tracing import Recording, TraceError, record, trace, unwrapped

Input = tuple[int, int, int]

FEW, MANY = 2, 64
"""Images that are tried: a norm may take statistics of parts of a batch."""

UNTRACED = "so no recorded run could be known to be its own: give cache=False to train it all the same, anew every time"


@one_thread()
def read(make: Callable[[], Any], input: Input, *, cache: bool = True) -> Module:
    """See `networks.read`."""
    name = _name(make)
    try:
        if len(input) != 3 or any(type(side) is not int or side < 1 for side in input):
            raise SpecError(f"input is {shown(input)}, expected three whole numbers: channels, height, width")
        module = built(make, 0)
        trial = built(make, 0)
        if shared := {id(tensor) for tensor in _tensors(module)} & {id(tensor) for tensor in _tensors(trial)}:
            raise SpecError(f"built twice, it has {len(shared)} tensors that are the same ones, expected each run's to be its own")
        name = name or type(module).__name__
        classes, trained = _tried(trial, input)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        if parameters > MOST_PARAMETERS:
            raise SpecError(f"it has {parameters:,} parameters, expected at most {MOST_PARAMETERS:,}")
        rows, untraced = _rows(module, name, input, classes)
        if cache:
            seen = _seen(make, input)
            computation, alike, (lowered, reason) = seen.computation, seen.alike, _lowered(seen)
        else:
            computation, alike = secrets.token_hex(32), False
            lowered, reason = None, "it is not cached (cache=False): it was not read"
    except SpecError as error:
        raise SpecError(f"network {name or make!r}: {error}") from None
    return Module(computation, input, classes, make, name, parameters, rows, lowered, reason, trained, cache, alike, untraced)


def built(make: Callable[[], Any], seed: int) -> nn.Module:
    """A module of its own, whose weights are drawn from `seed`, on the CPU, without wrappers; raises SpecError for what is none."""
    with seeded(seed):
        try:
            module = make()
        except Exception as error:  # of the user's own code
            raise SpecError(f"building it fails ({type(error).__name__}: {error})") from None
    if not isinstance(module, nn.Module):
        raise SpecError(f"building it gives {shown(module)}, expected a torch.nn.Module")
    return unwrapped(module).cpu()


@cache
@one_thread()
def check_unchanged(network: Module) -> None:
    """Raise SpecError unless the module that `make` builds here is the one that was read."""
    if network.cached and _seen(network.make, network.input).computation != network.computation:
        raise SpecError(
            f"network {network.name}: it computes something else than when its step was made, "
            "expected what it uses to stay as it is"
        )


def _name(make: Any) -> str:
    if isinstance(make, nn.Module):
        kind = type(make).__name__
        raise SpecError(
            f"network is an instance of {kind}, expected a class or a function that makes one, so that every seed has initial "
            f"weights of its own: network={kind}, or network=lambda: {kind}(...)"
        )
    name = getattr(make, "__name__", "")
    return "" if name == "<lambda>" else str(name)


def _tried(module: nn.Module, input: Input) -> tuple[int, frozenset[str]]:
    """How many scores a module gives an image, and which of its parameters get a gradient, from a few random images in training;
    raises SpecError where it cannot train."""
    if any(nn.parameter.is_lazy(parameter) for parameter in module.parameters()):
        raise SpecError("it has no weights yet (lazy layers): call it once on a batch of images where it is made")
    with seeded(0), torch.enable_grad(), warnings.catch_warnings(action="ignore"):
        module.train()
        scores = _scores(module, input)
        if not isinstance(scores, torch.Tensor) or scores.dim() != 2 or scores.shape[1] < 2 or len(scores) not in (FEW, MANY):
            shape = f"shape {tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else type(scores).__name__
            raise SpecError(f"its forward gives {shape} of {FEW} images, expected a number for each of at least two classes")
        try:
            scores.sum().backward()
        except RuntimeError as error:
            raise SpecError(f"it cannot be trained, as its backward stops ({error})") from None
    return scores.shape[1], frozenset(name for name, it in module.named_parameters() if it.grad is not None)


def _scores(module: nn.Module, input: Input) -> Any:
    """What a module makes of a few images, or of many where it splits its batches."""
    try:
        return module(torch.randn(FEW, *input))
    except Exception as error:  # of the user's own code
        try:
            return module(torch.randn(MANY, *input))
        except Exception:
            raise SpecError(
                f"its forward stops at {FEW} images of {' x '.join(map(str, input))} ({type(error).__name__}: {error}); "
                "give input=(channels, height, width) where it takes others"
            ) from None


def _rows(module: nn.Module, name: str, input: Input, classes: int) -> tuple[tuple[Row, ...], str]:
    """The layer table; one row of all where it cannot be traced, and why not."""
    try:
        return tuple(trace(module, input)), ""
    except TraceError as error:
        count = sum(parameter.numel() for parameter in module.parameters())
        return (Row(f"{name}, not traced: {error}", input, (classes,), None, None, None, count, 0, 1, 1, 1, 1),), str(error)


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


class _Seen(NamedTuple):
    """The SHA-256 of what a module computes, whether its weights are the same for every seed, and its calls in either mode."""

    computation: str
    alike: bool
    module: nn.Module
    evaluation: Recording
    training: Recording


def _seen(make: Callable[[], Any], input: Input) -> _Seen:
    """What the modules that `make` builds compute.

    Raises SpecError where it is not always the same, or cannot be seen. Weights are those of two seeds; what else depends on
    chance shows between two modules of one.
    """
    one, again, other = (built(make, seed) for seed in (0, 0, 1))
    recorded = [_recorded(module, input, seed) for seed, module in enumerate((one, again, other))]
    calls, repeated, others = (
        [line for recording in both for line in identity.told(recording, module)]
        for both, module in zip(recorded, (one, again, other), strict=True)
    )
    weights = list(identity.tensors(one))
    if calls != repeated or weights != list(identity.tensors(again)):
        where = next((f": {now} / {then}" for now, then in zip(calls, repeated, strict=False) if now != then), " in its tensors")
        raise SpecError(f"built twice, it is not the same{where}; expected chance to come from torch's generator alone")
    if calls != others:
        raise SpecError("its layers depend on random numbers, expected the same ones for every seed")
    drawn = list(identity.tensors(other))
    computation = identity.digest([*calls, *weights, *drawn])  # of two seeds: what is built may set its own
    try:
        unseen = hidden(built(make, 0), again, *recorded[1])
    except Exception as error:  # of whatever torch makes of the user's own code
        unseen = f"cannot be repeated by its calls ({type(error).__name__}: {error})"
    if unseen:
        raise SpecError(f"its forward {unseen}, {UNTRACED}")
    return _Seen(computation, weights == drawn, one, *recorded[0])


def _recorded(module: nn.Module, input: Input, seed: int) -> tuple[Recording, Recording]:
    """The calls in evaluation and in training; raises SpecError where they do not show all."""
    _check_hooks(module)
    found = []
    for training in (False, True):
        try:
            with seeded(seed):
                recording = _calls(module, input, training)
        except TraceError as error:
            raise SpecError(f"it cannot be traced, {UNTRACED} ({error})") from None
        if recording.hidden:
            raise SpecError(f"its forward {recording.hidden[0]}, {UNTRACED}")
        found.append(recording)
    return found[0], found[1]


def _calls(module: nn.Module, input: Input, training: bool) -> Recording:
    """The calls of a batch of an odd size, which nothing splits unseen; of many images where it has to be split."""
    try:
        return record(module, input, training=training)
    except TraceError:
        with suppress(TraceError):
            return record(module, input, training=training, batch=MANY)
        raise


def _check_hooks(module: nn.Module) -> None:
    """Raise SpecError for hooks that change gradients, which no trace shows."""
    for path, part in module.named_modules():
        if part._backward_hooks or part._backward_pre_hooks:
            raise SpecError(f"{path or 'it'} has a hook on its gradients, {UNTRACED}")
    for name, parameter in module.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise SpecError(f"{name} has a hook on its gradient, {UNTRACED}")


def _lowered(seen: _Seen) -> tuple[Lowered | None, str]:
    """The layers that compute the same, or why there are none."""
    try:
        return lower(seen.module, seen.evaluation, seen.training), ""
    except Refused as refused:
        return None, str(refused)
