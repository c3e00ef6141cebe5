"""Forwards run as they were written: nothing is compiled, and torch's compiler stays unloaded."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import torch


@contextmanager
def eagerly() -> Iterator[None]:
    """In which compiled functions run as they were written."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    found = [it for it in _kept_away() if "__dynamo_disable" not in vars(it)]
    for function in found:
        vars(function)["__dynamo_disable"] = function
    try:
        yield
    finally:
        for function in found:
            vars(function).pop("__dynamo_disable", None)


@cache
def _kept_away() -> list[Any]:
    """The functions that torch keeps its compiler away from: it is imported for that when the first of them is called, which takes
    2 seconds (torch 2.13), unless it is noted at the function what is to be called instead. None where torch does it otherwise."""
    inner = getattr(torch.optim.Optimizer.zero_grad, "__code__", None)
    if inner is None or "fn" not in inner.co_freevars:
        return []
    place = inner.co_freevars.index("fn")
    keeping = [it for it in gc.get_objects() if type(it) is FunctionType and it.__code__ is inner]
    found = [it.__closure__[place].cell_contents for it in keeping if it.__closure__]
    return [it for it in found if type(it) is FunctionType]
