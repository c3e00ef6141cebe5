"""What one batch does to a model in training: forward, loss, backward, the optimizer and the average."""

import torch
from torch.nn import functional

from stepladder import state
from stepladder.engine import native
from stepladder.engine.native import Number, Update
from stepladder.spec import Recipe
from stepladder.state import State


def updater(run: State, recipe: Recipe) -> Update:
    """What trains a run on one batch: compiled code where the native engine runs the model, else torch, which takes rate and weight
    as tensors too."""
    averages = state.averaged(run)
    if native.runs(run.model, averages):
        return native.updater(run.model, recipe, state.kept(run.optimizer), averages)

    def update(x: torch.Tensor, labels: torch.Tensor, rate: Number, weight: Number) -> torch.Tensor:
        run.optimizer.param_groups[0]["lr"] = rate
        logits = run.model(x)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        run.optimizer.zero_grad()
        loss.backward()
        state.step(run.optimizer)
        if averages:
            values, sources = [it for it, _ in averages], [source for _, source in averages]
            torch._foreach_lerp_(values, sources, [weight] * len(values) if isinstance(weight, torch.Tensor) else weight)
        return torch.stack([loss.detach() * len(labels), (logits.detach().argmax(1) == labels).sum()])

    return update
