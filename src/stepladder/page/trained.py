"""The trained network of a step, for the page to show what it makes of an image."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from stepladder import networks, records
from stepladder.evidence import Arm
from stepladder.inference.program import Program, program, tensors
from stepladder.networks import Module
from stepladder.page import embedded
from stepladder.page.pictures import SHARP
from stepladder.records import Record
from stepladder.spec import UserError
from stepladder.steps import Ladder, Step

WEIGHTS = 150_000
"""A network of more weights is left out, and those that would make more than ALL characters in sum."""
ALL = 1_000_000
EXAMPLES = 12
"""At most so many classes have an image to choose."""

Images = NDArray[np.uint8]


class Trained(NamedTuple):
    """The network of one run, as data for the page's script; None where it cannot be shown, for the `reason`, a sentence."""

    seed: int
    data: dict[str, Any] | None
    reason: str = ""


def trained(ladder: Ladder, arms: Mapping[str, Arm]) -> dict[str, Trained]:
    """The trained network of each step that has one, by the step's id: that of its first finished seed."""
    found, left = dict[str, Trained](), ALL
    for step in ladder.steps:
        if record := _shown(arms.get(step.id)):
            found[step.id], size = _of(step, arms[step.id], record, left)
            left -= size
    return found


def weights(ladder: Ladder, arms: Mapping[str, Arm]) -> list[list[str]]:
    """Which weights `trained` shows: steps, and the hashes of their weights."""
    return [[step.id, record.weights_sha256] for step in ladder.steps if (record := _shown(arms.get(step.id)))]


def examples(labels: Images) -> list[int]:
    """An image of each class, the first in the test set."""
    found: list[int] = np.unique(labels, return_index=True)[1][:EXAMPLES].tolist()
    return found


def _shown(arm: Arm | None) -> Record | None:
    """The run that is shown, of those that were read from a folder."""
    return next((record for record in arm.finished if record.seed in arm.folders), None) if arm else None


def _of(step: Step, arm: Arm, record: Record, left: int) -> tuple[Trained, int]:
    """The network of a run, and how many characters it takes."""
    try:
        data = embedded.written(_program(step, arm, record), int8=True)
    except (UserError, SafetensorError, KeyError, ValueError) as error:
        told = str(error) if isinstance(error, UserError) else f"its weights do not fit its network ({error})"
        return Trained(record.seed, None, f"The trained network cannot be shown: {told}."), 0
    size = sum(len(array["data"]) for operation in data["operations"] for array in _arrays(operation))
    if size > left:
        return Trained(record.seed, None, "The trained network is left out: with it the page would be too large."), 0
    return Trained(record.seed, data), size


def _arrays(operation: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (operation[name] for name in ("weight", "bias") if operation[name])


def _program(step: Step, arm: Arm, record: Record) -> Program:
    """The network of a run as a program; raises UserError for one that the page cannot compute."""
    network = networks.layers(step.network)
    if network is None:
        assert isinstance(step.network, Module)
        raise UserError(f"module {step.network.name} is none of layers that a page computes: {step.network.reason}")
    if missing := records.lacks(record):
        raise UserError(f"its record is of schema 1, which lacks {', '.join(missing)}")
    if network.parameters > WEIGHTS:
        raise UserError(f"it has {network.parameters:,} parameters, expected at most {WEIGHTS:,}")
    if max(network.input[1:]) > SHARP:
        raise UserError(f"its images are {network.input[1]} x {network.input[2]}, expected at most {SHARP} x {SHARP}")
    state = load(records.read_weights(arm.folders[record.seed], record))
    if isinstance(step.network, Module) and step.network.lowered:
        state = {own: state[name] for own, name in zip(tensors(network), step.network.lowered.names, strict=True)}
    assert record.classes
    assert record.normalisation
    return program(network, state, record.classes, record.normalisation.mean, record.normalisation.std)
