"""What changes while a run trains: the weights, the optimizer and the average; and all of it as named arrays."""

import copy
from inspect import unwrap
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stepladder.records import Array
from stepladder.spec import AdamW, Recipe
from stepladder.uncompiled import leave_compiler_out

Kind = tuple[tuple[int, ...], np.dtype[Any]]


class State(NamedTuple):
    """A model, its optimizer, and a model of the averaged weights where the recipe asks for one."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None = None

    @property
    def result(self) -> nn.Module:
        """The model that is tested and stored."""
        return self.model if self.average is None else self.average


def begin(model: nn.Module, recipe: Recipe) -> State:
    """The state before the first batch; the model is on its device."""
    average = None
    if recipe.averaging:
        counts = {id(buffer): buffer for buffer in model.buffers() if not buffer.is_floating_point()}
        average = copy.deepcopy(model, counts)  # batch norm's counts of batches are no averages: the two share them
    return State(model, optimizer(model, recipe), average)


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer of a model; the loop sets its learning rate for every batch."""
    methods = (getattr(torch.optim.Optimizer, name) for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"))
    leave_compiler_out(method.__wrapped__ for method in methods if hasattr(method, "__wrapped__"))
    parameters, rate, decay = [it for it in model.parameters() if it.requires_grad], recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case AdamW(beta1, beta2, epsilon):
            betas = float(beta1), float(beta2)  # it takes no int 0
            found = torch.optim.AdamW(parameters, rate, betas, epsilon, decay, fused=True, capturable=True)
            # On a GPU the first steps, which are not recorded, are not worth the warning that it would give.
            vars(found)["_warned_capturable_if_run_uncaptured"] = True
            return found
        case None:
            return torch.optim.SGD(parameters, rate, recipe.momentum, weight_decay=decay, nesterov=recipe.nesterov, fused=True)


def kept(optimizer: torch.optim.Optimizer) -> dict[Tensor, tuple[Tensor, ...]]:
    """What an optimizer keeps of each of its parameters, zeros where it has not begun: the momentum, or first and second moments
    and the count of steps."""
    (group,) = optimizer.param_groups
    for parameter in group["params"]:
        for name in _kept(optimizer):
            fresh = torch.zeros(()) if name == "step" else torch.zeros_like(parameter)
            optimizer.state[parameter].setdefault(name, fresh)
    return {it: tuple(optimizer.state[it][name] for name in _kept(optimizer)) for it in group["params"]}


def _kept(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    if isinstance(optimizer, torch.optim.AdamW):
        return ("exp_avg", "exp_avg_sq", "step")
    return ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()


def step(optimizer: torch.optim.Optimizer) -> None:
    """`optimizer.step()`, without the hooks around it: these import torch's compiler, as those above do."""
    with torch.no_grad():
        unwrap(type(optimizer).step)(optimizer)


def averaged(state: State) -> list[tuple[Tensor, Tensor]]:
    """Each tensor of the average, of weights and of the statistics of batch norm, and the one it is taken of."""
    if state.average is None:
        return []
    averages, sources = (
        [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()] for model in (state.average, state.model)
    )
    return list(zip(averages, sources, strict=True))


def arrays(state: State) -> dict[str, Array]:
    """All tensors that decide how training goes on, by name."""
    tensors = _of_models(state)
    for number, found in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in found.items()}
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def restore(state: State, found: dict[str, Array]) -> None:
    """Put the arrays of `arrays` back; raises ValueError where they are not those that a state after an epoch has."""
    expected = _kinds(state)
    for name in sorted(expected.keys() | found.keys()):
        kind = (found[name].shape, found[name].dtype) if name in found else None
        if kind != expected.get(name):
            raise ValueError(f"{name!r} is {_words(kind)}, expected {_words(expected.get(name))}")
    tensors = {name: torch.from_numpy(array) for name, array in found.items()}
    for part, model in (("model.", state.model), ("average.", state.average)):
        if model is not None:
            model.load_state_dict({name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)})
    values = state.optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            values["state"].setdefault(int(number), {})[key] = tensor
    state.optimizer.load_state_dict(values)


def _of_models(state: State) -> dict[str, Tensor]:
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.state_dict().items()}
    return tensors


def _kinds(state: State) -> dict[str, Kind]:
    """Shape and type of each array that `arrays` gives after an epoch."""
    tensors = _of_models(state)
    (group,) = state.optimizer.param_groups
    for number, parameter in enumerate(group["params"]):
        tensors |= {
            f"optimizer.{number}.{name}": torch.zeros(()) if name == "step" else parameter for name in _kept(state.optimizer)
        }
    return {name: (tuple(tensor.shape), tensor.detach().cpu().numpy().dtype) for name, tensor in tensors.items()}


def _words(kind: Kind | None) -> str:
    return "not there" if kind is None else f"{kind[1]} of shape {kind[0]}"
