"""Spec values and a report's figures as short texts."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, NamedTuple

from stepladder import networks
from stepladder.analysis import cells, counted, p_value, percent, point_range, size
from stepladder.anatomy import Then
from stepladder.networks import Module
from stepladder.spec import Affine, Network, StepLR, UserError
from stepladder.spec.budget import COSTS, device_limits
from stepladder.steps import Change

ACTIVATIONS = {"relu": "ReLU"}
"""Activations as they are spelt."""


class Part(NamedTuple):
    """A piece of an old or new value; `changed` where the other side has something else in its place."""

    text: str
    changed: bool


def concept(name: str) -> str:
    """A concept's name as a person says it."""
    return name.replace("_", " ")


def value(name: str, found: Any) -> str:
    """The value of a concept in words."""
    if name == "dropout":
        return f"{100 * found:.3g} % of activations" if found else "none"
    if name == "epochs":
        return counted(found, "epoch")
    if name == "batch_size":
        return counted(found, "image")
    if isinstance(found, bool):
        return "on" if found else "off"
    if found is None:
        return {"schedule": "constant learning rate", "optimizer": "stochastic gradient descent"}.get(name, "none")
    if isinstance(found, StepLR):
        return f"learning rate x {found.factor:g} after every {counted(found.every, 'epoch')}"
    if isinstance(found, Affine):
        return _affine(found)
    if isinstance(found, Network | Module):
        return " · ".join(layers(found))
    return code(found)


def layers(network: Network | Module) -> list[str]:
    """A network's layers as they are written: `Conv(14)`, `MaxPool(2)`, `Conv(10, activation=None)`; of a module that has none,
    its table's rows: `lstm to 16`."""
    lowered = networks.layers(network)
    if lowered is None:
        return [f"{row.operation} to {' x '.join(map(str, row.output))}" for row in networks.rows(network)]
    return [code(layer) for layer in lowered.layers]


def then(found: Then) -> list[str]:
    """What follows a layer in its row, in a few words each: `batch norm (28)` with its parameters, `ReLU`, `dropout 5 %`."""
    texts = [f"{found.norm} norm ({found.norm_parameters:,})"] if found.norm else []
    texts += [ACTIVATIONS.get(found.activation, found.activation)] if found.activation else []
    return texts + ([f"dropout {100 * found.dropout:.3g} %"] if found.dropout else [])


def in_layers(network: Network | Module) -> str:
    """A network as the Python that makes it, a line for each layer; raises UserError for a module that has no such form."""
    found = networks.layers(network)
    if found is None:
        raise UserError(f"module {network.name} cannot be written in the layer language: {network.reason}")  # type: ignore[union-attr]
    rest = [f"input={found.input}"] * (found.input != (1, 28, 28)) + [f"classes={found.classes}"] * (found.classes != 10)
    lines = "".join(f"    {code(layer)},\n" for layer in found.layers)
    return f"Network([\n{lines}]{''.join(f', {each}' for each in rest)})"


def code(found: Any) -> str:
    """A value as the Python that makes it: its first field by place, the others by name where they are not the default; nor is
    a first one told that came later and is off."""
    if isinstance(found, list | tuple):
        return f"[{', '.join(map(code, found))}]"
    if isinstance(found, float):
        return short if float(short := f"{found:g}") == found else repr(found)
    if not is_dataclass(found):
        return repr(found)
    values = [(field, getattr(found, field.name)) for field in fields(found)]
    arguments = [code(item) for field, item in values[:1] if "off" not in field.metadata or item != field.metadata["off"]]
    arguments += [f"{field.name}={code(item)}" for field, item in values[1:] if item != field.default]
    return f"{type(found).__name__}({', '.join(arguments)})"


def parts(change: Change) -> tuple[list[Part], list[Part]]:
    """Old and new value in pieces, so that what differs can be shown: a network in layers, all else in one piece."""
    if change.concept == "network":
        sides = layers(change.old), layers(change.new)
        if sides[0] == sides[1]:  # of modules, in what they are initialised with or in what layers do not say
            return [Part(change.old.name, True)], [Part(f"{change.new.name}, of the same layers", True)]
        return _compare(*sides)
    old, new = (value(change.concept, found) for found in (change.old, change.new))
    return [Part(old, True)], [Part(new, True)]


def brief(change: Change) -> str:
    """The change on one line, old → new; of a network only what differs."""
    sides = [" · ".join(_elided(side)) for side in parts(change)]
    return f"{concept(change.concept)}: {sides[0]} → {sides[1]}"


def summary(change: Change) -> str:
    """The change in the space of a table's cell: of a network only its size."""
    if change.concept != "network":
        return brief(change)
    return f"network: {change.old.parameters:,} → {counted(change.new.parameters, 'parameter')}"


def budget(found: dict[str, Any]) -> str:
    """A budget in one sentence, without its full stop."""
    late = "the last epoch" if found["hold"] == 1 else f"each of the last {found['hold']} epochs"
    return (
        f"{percent(found['accuracy'])} on the test set, held in {late} by {percent(found['held'], 0)} of the seeds, "
        f"with at most {counted(found['parameters'], 'parameter')}, within {counted(found['epochs'], 'epoch')}"
        f"{device_limits(found)}"
    )


def device(found: Mapping[str, int]) -> str:
    """What a network takes on a micro-controller in one sentence, without its full stop."""
    return (
        f"On a micro-controller, in 8-bit integers: {found['ram']:,} {COSTS['ram']}, {found['flash']:,} {COSTS['flash']} "
        f"beside the code, {found['macs']:,} {COSTS['macs']}"
    )


def measured(found: dict[str, Any]) -> str:
    """With how many seeds, where and when a report's figures were made, as a sentence."""
    if not found["machines"]:
        return "Not run."
    date = f", {found['made']}" if found["made"] else ""
    judged = ""
    if found["holdout"]:
        fold = f" (fold {found['fold']})" if "fold" in found else ""
        judged = f" What is called test here is {found['holdout']:,} training images kept back{fold}: the test set was not read."
    if "quick" in found:
        images = f"{found['data']['train']:,} training and {found['images']:,} test images"
        judged += f" A first look (--quick), after a few epochs on {images}: it is no evidence of what the ladder reaches."
    aside = f" {counted(len(found['damaged']), 'run')} set aside, as what it holds contradicts itself." if found["damaged"] else ""
    exports = found.get("exports_unread")
    unread = f" {counted(len(exports), 'export')} beside the runs could not be read." if exports else ""
    return f"Measured with {_seeds(found['steps'])} on {_machines(found['machines'])}{date}.{_images(found)}{judged}{aside}{unread}"


def _images(found: dict[str, Any]) -> str:
    """Which images these are, where they are not MNIST's."""
    told = found["data"]
    if told["kind"] == "mnist":
        return ""
    sides = " x ".join(map(str, told["input"]))
    parts = f"{told['train']:,} for training and {found['images']:,} to test"
    return f" Images: {told['kind']}, {parts}, {sides}, {len(told['classes'])} classes."


def exported(found: dict[str, Any]) -> str:
    """An export in a line: what it is, how far it answers as its record, what it takes and what measured that."""
    bits = "8 bits" if found["int8"] else "float32"
    answers = f"{found['equal']:,} of {found['images']:,} images answered as the record does"
    figures = "".join(f", {value:,} {name.replace('_', ' ')}" for name, value in found["figures"].items())
    measured = f". {found['measured']}" if "measured" in found else "."
    return f"{found['to']}, {bits}, seed {found['seed']}: {answers}{figures}{measured}"


def caution(found: dict[str, Any]) -> str:
    """What intervals and p leave out, a sentence each."""
    sampled = f"up to {size(found['sampling'])} to either side at {percent(found['budget']['accuracy'])} (in squares, not in sum)"
    return (
        f"Intervals are over seeds; that the {found['images']:,} test images are but a sample adds {sampled}, most of which steps "
        f"measured on the same images share. The exact p, on which verdicts rest, holds for a number of seeds {cells.PLANNED}; the "
        "anytime p beside it, which is not adjusted for the other steps, also where seeds are added until it is small."
    )


def effect_range(found: dict[str, Any]) -> str:
    """An effect's interval in points, without the unit: '-0.01 to +0.11'."""
    if found["low"] is None:
        return "one run each" if found["n"] == 1 else "no spread"
    return point_range(found["low"], found["high"]).removesuffix(" points")


def effect_tests(found: dict[str, Any]) -> list[str]:
    """What the tests say of an effect, in a few words each."""
    if found["n"] == 1:
        images = found["mcnemar"]
        return [f"{images['only_child']} images only here,", f"{images['only_parent']} only there, {p_value(images['p'])}"]
    lines = [f"{p_value(found['p_holm'])} after Holm", f"anytime {p_value(found['p_anytime'])}"]
    lines.append(f"{round(found['won'] * found['n'])} of {found['n']} pairs won")
    if found["verdict"] == "no difference":
        lines.append(f"90 %: {point_range(found['low90'], found['high90'])}")
    if found["verdict"] == "undecided" and found["detectable"]:
        lines.append(f"would show {100 * found['detectable']:.2f} or more")
    return lines


def machine(found: dict[str, Any]) -> str:
    """One machine: '<processor>, 1 thread a run, torch 2.13.0'."""
    threads = f"{counted(found['threads'], 'thread')} a run" if found["threads"] else "threads not recorded"
    return f"{found['processor'] or 'processor not recorded'}, {threads}, torch {found['torch'] or 'not recorded'}"


def _machines(found: Sequence[dict[str, Any]]) -> str:
    """All machines, those that differ in their commit only once."""
    return "; ".join(dict.fromkeys(map(machine, found)))


def _seeds(steps: Sequence[dict[str, Any]]) -> str:
    """How many seeds the steps have finished: '5 seeds a step', '4 to 5 seeds a step', 'up to 1 seed a step'."""
    low, high = (pick(step["n"] for step in steps) for pick in (min, max))
    least = "" if low == high else f"{low} to " if low else "up to "
    return f"{least}{counted(high, 'seed')} a step"


def _affine(found: Affine) -> str:
    """An augmentation's largest changes, of those that it makes."""
    made = {
        "rotation": f"up to {found.rotate:g}°" if found.rotate else "",
        "shift": f"up to {found.shift:g} pixel{'s' * (found.shift != 1)}" if found.shift else "",
        "scale": f"by {1 - found.scale:g} to {1 + found.scale:g}" if found.scale else "",
        "shear": f"up to {found.shear:g}°" if found.shear else "",
    }
    return ", ".join(f"{name} {text}" for name, text in made.items() if text)


def _compare(old: list[str], new: list[str]) -> tuple[list[Part], list[Part]]:
    kept_old, kept_new = set[int](), set[int]()
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        kept_old.update(range(block.a, block.a + block.size))
        kept_new.update(range(block.b, block.b + block.size))
    return (
        [Part(text, place not in kept_old) for place, text in enumerate(old)],
        [Part(text, place not in kept_new) for place, text in enumerate(new)],
    )


def _elided(side: list[Part]) -> list[str]:
    """The changed parts, with '…' for each run of more than one unchanged part."""
    texts: list[str] = []
    for changed, run in groupby(side, key=lambda part: part.changed):
        found = [part.text for part in run]
        texts += found if changed or len(found) == 1 else ["…"]
    return texts
