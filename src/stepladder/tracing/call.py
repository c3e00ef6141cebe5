"""Calls of torch's functions as plain values: what a module computes is a list of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from stepladder.spec import UserError

BATCH = 7  # unlike most sizes of layers, so that a reshape that mixes up images does not go unseen
UNSCRIPTED = "expected a forward without scripted functions"


class TraceError(UserError):
    """A model that cannot be read: the message names the module or function, what was found and what was expected."""


class Made(NamedTuple):
    """A tensor that an earlier call made: the number of the call, and which of its tensors."""

    call: int
    part: int = 0


@dataclass(frozen=True)
class Call:
    """One function of torch that forward called, in which module, with which arguments, and what it made.

    Among the arguments, `Made` stands for what earlier calls made (the first of all is named "input" and made the images);
    parameters, buffers and constants are there themselves. `made` holds the shapes' tensors, on the meta device, of a batch
    of 7; `macs` are the multiply-accumulates of one image, by torch's counter; `grad` says whether gradients go through it.
    """

    name: str
    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: str
    module: nn.Module
    made: tuple[Tensor, ...]
    macs: int = 0
    grad: bool = True

    @property
    def where(self) -> str:
        """The call in words: its module, and its function where the module is not torch's own."""
        itself = type(self.module).__module__.startswith("torch.nn.modules") or self.name in ("input", "output")
        module = f"{self.path or 'the model'} ({type(self.module).__name__})"
        return module if itself else f"{self.name} in {module}"


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value: itself, or those in its tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The value with each of its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(True for _ in tensors(value)):
        parts = [mapped(part, change) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def text(*values: Tensor) -> str:
    """The shapes of tensors, without the images in front."""
    return " and ".join(" x ".join(map(str, value.shape[1:])) for value in values)
