"""Runs a module's forward and notes the functions of torch that it calls.

Forward runs as it is, on images without numbers (on torch's meta device), so that whatever depends on shapes alone does what
it does for real: `if`, `assert`, loops, lengths. What depends on the numbers cannot be read.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from stepladder.tracing.call import BATCH, UNSCRIPTED, Call, Made, TraceError, mapped, tensors, text
from stepladder.tracing.functions import COUNTED, named
from stepladder.tracing.given import as_it_was, check, prepare, unwrapped
from stepladder.uncompiled import eagerly

INSIDES = ("torch._meta_registrations", "torch._refs", "torch._prims", "torch._decomp")
"""Where torch works out shapes: what calls functions from there was called by something that cannot be seen."""

CASTS = ("cpu", "cuda", "to", "type_as")


class Recording(NamedTuple):
    """A forward's calls, in their order, and what of it they do not show, a phrase each."""

    calls: list[Call]
    hidden: list[str]


def calls(module: nn.Module, input: tuple[int, int, int]) -> list[Call]:
    """The calls of a module that takes images of `input` (channels, height, width), in their order, in eval mode.

    Wrappers (`DataParallel`, `torch.compile`) are read through. The module stays as it is, and no random numbers are used
    up. Raises TraceError.
    """
    return record(module, input).calls


def record(module: nn.Module, input: tuple[int, int, int], *, training: bool = False, batch: int = BATCH) -> Recording:
    """As `calls`, in either mode, of a batch of any size, with what stays hidden: gradients that a forward defines itself, and
    numbers that it counts up from call to call."""
    if len(input) != 3 or any(type(side) is not int or side < 1 for side in input):
        raise TraceError(f"input is {input!r}, expected three whole numbers: channels, height, width")
    module = unwrapped(module)
    check(module)
    hidden = list[str]()
    with as_it_was(module), torch.enable_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        module.train(training)
        recorder = _Recorder(module, (batch, *input))
        for path, part in module.named_modules():
            prepare(part)
            vars(part)["forward"] = partial(recorder.within, path, part, part.forward)
        try:
            before = _numbers(module)
            with recorder, eagerly(), _noted_functions(hidden):
                made = module(recorder.images)
            hidden += [f"changes its {name} from call to call" for name, it in _numbers(module).items() if it != before.get(name)]
        except TraceError as error:
            raise error.with_traceback(None) from None  # without the insides of torch
        recorder.note("output", None, (made,), {}, ())
    return Recording(recorder.calls, hidden)


def _numbers(module: nn.Module) -> dict[str, Any]:
    """What the parts of a module keep that is a number or text, and how many things their lists and dicts hold, by its path."""
    kept = ((f"{path}.{name}".strip("."), it) for path, part in module.named_modules() for name, it in vars(part).items())
    held = {name: len(it) if isinstance(it, list | dict) else it for name, it in kept}
    return {name: it for name, it in held.items() if isinstance(it, int | float | str)}


@contextmanager
def _noted_functions(found: list[str]) -> Iterator[None]:
    """Notes the autograd functions that are applied: what they compute shows in calls, their gradients do not."""
    function = torch.autograd.Function
    original = vars(function)["apply"]

    def apply(kind: type, *args: Any, **kwargs: Any) -> Any:
        found.append(f"applies {kind.__name__}, an autograd function, whose gradient cannot be seen")
        return original.__func__(kind, *args, **kwargs)

    setattr(function, "apply", classmethod(apply))  # noqa: B010  # a method, to mypy
    try:
        yield
    finally:
        setattr(function, "apply", original)  # noqa: B010


class _Recorder(TorchFunctionMode):
    """Notes every function of torch that is called, and calls it on the meta device."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.stack: list[tuple[str, nn.Module]] = [("", module)]
        self.known: dict[int, Made] = {}  # tensors by their ids, which stay theirs as long as they are kept
        self.metas: dict[int, Tensor] = {}
        self.copies: dict[int, Tensor] = {}
        self.kept: list[Tensor] = []
        self.stale: dict[int, set[int]] = {}
        self.failed: tuple[Exception, str] | None = None
        self.refused: TraceError | None = None
        self.own = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
        dtypes = [parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()]
        self.images = torch.empty(*shape, dtype=dtypes[0] if dtypes else None, device="meta")
        self.depending = {id(self.images)}
        self.note("input", None, (), {}, (self.images,))

    def note(
        self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: tuple[Tensor, ...], macs: int = 0
    ) -> None:
        """Adds a call."""
        path, module = self.stack[-1]
        args, kwargs = mapped(args, self._told), mapped(kwargs, self._told)
        self.calls.append(Call(name, function, args, kwargs, path, module, made, macs, torch.is_grad_enabled()))
        self.kept += made
        self.known |= {id(tensor): Made(len(self.calls) - 1, part) for part, tensor in enumerate(made)}

    def within(self, path: str, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A module's forward; whatever it raises becomes a TraceError that names the innermost module."""
        self.stack.append((path, module))
        try:
            return forward(*args, **kwargs)
        except TraceError:
            raise
        except Exception as error:  # a model's own code may raise anything
            raise (self.refused or TraceError(self._why(error, args))) from None
        finally:
            self.stack.pop()

    def _why(self, error: Exception, args: tuple[Any, ...]) -> str:
        name, found = self._where("input"), f"({type(error).__name__}: {_brief(error)})"
        if "meta" in str(error) and ("tensor" in str(error) or "nonzero" in str(error)):
            return (
                f"{name}: its forward depends on the values of its input {found}, expected one whose steps depend on shapes alone"
            )
        if self.failed and self.failed[0] is error:
            return self.failed[1]
        given = text(*(arg for arg in args if isinstance(arg, Tensor)))
        return f"{name}: its forward stops at an input of {given} {found}, expected one that it takes"

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs, name = kwargs or {}, named(func)
        if _from_inside(sys._getframe(1)):
            self.refused = TraceError(f"{self._where('input')}: calls something that cannot be seen, {UNSCRIPTED}")
            raise self.refused
        if name in ("item", "tolist", "numpy") or getattr(func, "__name__", "") == "__get__":
            result = func(*args, **kwargs)  # of weights as they are
            if not isinstance(result, Tensor):
                return result
        found = [*tensors((args, kwargs))]
        depends = any(id(tensor) in self.depending or tensor.is_meta for tensor in found)
        change = self._meta if depends else self._copy
        given, named_given = mapped(args, change), mapped(kwargs, change)
        counter = FlopCounterMode(display=False) if depends and name in COUNTED else None
        try:
            with counter or nullcontext():
                result = cast(given, named_given) if name in CASTS else func(*given, **named_given)
        except Exception as error:
            shapes = text(*(tensor for tensor in found if id(tensor) in self.depending))
            self.failed = error, f"{self._where(name)}: does not fit its input of {shapes} ({_brief(error)})"
            raise
        if name == "setitem":
            self.stale.pop(id(_root(args[0])), None)  # what follows from writing into a part in place: x[:, :2] += y
        if made := (args[0],) if name == "setitem" else tuple(tensors(result)):
            self.note(name, func, args, kwargs, made, counter.get_total_flops() // 2 // len(self.images) if counter else 0)
            if any(id(tensor) in self.depending for tensor in found):
                self._written(func, found, made, [*tensors(kwargs.get("out"))])
        return result

    def _written(self, func: Any, found: list[Tensor], made: tuple[Tensor, ...], out: list[Tensor]) -> None:
        """What is made of the images depends on them, as does what was written into, which is the same tensor as before.

        Where that is a part of another tensor, the other may not be used again: what it holds is no longer known.
        """
        spelled = getattr(func, "__name__", "")
        inside = spelled == "__setitem__" or (spelled.endswith("_") and not spelled.endswith("__"))
        written = [*out, *(found[:1] if inside else [])]
        self.kept += written
        self.known |= {id(tensor): Made(len(self.calls) - 1) for tensor in written}
        more = any(id(tensor) in self.depending and tensor is not found[0] for tensor in found)
        self.depending |= {id(tensor) for tensor in (*made, *written)}
        for tensor in written if more else ():
            if _root(tensor) is not tensor:
                self.stale[id(_root(tensor))] = {id(tensor)}
        for tensor in made:
            if id(_root(tensor)) in self.stale:
                self.stale[id(_root(tensor))].add(id(tensor))

    def _where(self, name: str) -> str:
        path, module = self.stack[-1]
        return Call(name, None, (), {}, path, module, ()).where

    def _told(self, tensor: Tensor) -> Any:
        """What stands for a tensor among the arguments of a call."""
        if id(tensor) not in self.stale.get(id(_root(tensor)), {id(tensor)}):
            raise TraceError(
                f"{self._where('input')}: writes into a part of a tensor in place, expected it without: by x[part] = ..."
            )
        made = self.known.get(id(tensor))
        if made is None and tensor.is_meta and id(tensor) not in self.own:
            raise TraceError(f"{self._where('input')}: uses a tensor that no function of torch made, {UNSCRIPTED}")
        return tensor if made is None else made

    def _meta(self, tensor: Tensor) -> Tensor:
        """The tensor without its numbers, the same one whenever it is asked for."""
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self.metas:
            self.metas[id(tensor)] = torch.empty_like(tensor, device="meta")
            self.kept.append(tensor)
        return self.metas[id(tensor)]

    def _copy(self, tensor: Tensor) -> Tensor:
        """A tensor that forward made itself, or a copy of a weight or buffer, the same one whenever it is asked for."""
        if id(tensor) in self.known:
            return tensor
        if id(tensor) not in self.copies:
            self.copies[id(tensor)] = tensor.detach().clone()
            self.kept.append(tensor)
        return self.copies[id(tensor)]


def _from_inside(frame: FrameType | None) -> bool:
    """Whether a function was called by the insides of torch, as far as it was called by torch at all."""
    while frame is not None and (name := str(frame.f_globals.get("__name__"))).startswith("torch"):
        if name.startswith(INSIDES):
            return True
        frame = frame.f_back
    return False


def _root(tensor: Tensor) -> Tensor:
    """The tensor that a part is of; itself if it is no part."""
    return tensor if tensor._base is None else tensor._base


def cast(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """A tensor sent to another type or device, which here is another type alone."""
    kept, *rest = *args, *kwargs.values()
    types = [it.dtype if isinstance(it, Tensor) else it for it in rest if isinstance(it, Tensor | torch.dtype)]
    cast: Tensor = kept.to(*types[:1]) if types else kept
    return cast


def _brief(error: Exception) -> str:
    """The first sentence of what torch says."""
    return str(error).partition("\n")[0].partition(". ")[0]
