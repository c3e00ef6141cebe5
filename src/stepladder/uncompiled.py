"""Torch's compiler, left out. Torch keeps it away from some functions by importing it when the first of them is called, which takes
2 seconds (torch 2.13), unless it is noted at a function what is to be called instead; nothing is compiled here."""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import torch

NOTE = "__dynamo_disable"


def leave_compiler_out(functions: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Note at functions, as they were before torch kept its compiler away from them, that they are to be called as they are;
    returns those of which it was not noted yet."""
    found = [function for function in functions if NOTE not in vars(function)]
    for function in found:
        vars(function)[NOTE] = function
    return found


@contextmanager
def eagerly() -> Iterator[None]:
    """In which compiled functions run as they were written, and the compiler is not imported for their sake."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    found = leave_compiler_out(_kept_away())
    try:
        yield
    finally:
        for function in found:
            vars(function).pop(NOTE, None)


@cache
def _kept_away() -> list[Any]:
    """All functions that torch keeps its compiler away from; none where it does so in another way."""
    inner = getattr(torch.optim.Optimizer.zero_grad, "__code__", None)
    if inner is None or "fn" not in inner.co_freevars:
        return []
    place = inner.co_freevars.index("fn")
    keeping = [it for it in gc.get_objects() if type(it) is FunctionType and it.__code__ is inner]
    found = [it.__closure__[place].cell_contents for it in keeping if it.__closure__]
    return [it for it in found if type(it) is FunctionType]
