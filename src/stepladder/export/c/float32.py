"""A program's source in float32."""

from math import prod

from stepladder.export.c.source import Source
from stepladder.export.c.text import CALLED, array, number, window
from stepladder.inference.arena import Arena, arena
from stepladder.inference.figures import figures
from stepladder.inference.operation import Program
from stepladder.inference.steps import Step, steps, unfused


def source(program: Program) -> Source:
    """Its constants, calls and arena."""
    found = steps(unfused(program), raw=False)
    places = arena(found)
    constants = [array("float", "mean", program.mean), array("float", "std", program.std)]
    calls, used = [], []
    for place, step in enumerate(found):
        constants += _constants(step, place)
        made, call = _call(step, place, len(found) - 1, places)
        used.append(made)
        calls += call
    return Source("float32", "float", "float", constants, used, calls, places.size, figures(program, False), None)


def _constants(step: Step, place: int) -> list[str]:
    made = []
    if step.kind in ("conv", "max_pool", "avg_pool"):
        made.append(window(step, f"window{place}"))
    if step.weight is not None:
        made.append(array("float", f"weight{place}", step.weight))
    if step.bias is not None:
        made.append(array("float", f"bias{place}", step.bias))
    return made


def _call(step: Step, place: int, last: int, places: Arena) -> tuple[str, list[str]]:
    """The kernel of a step, and the lines that call it."""
    inputs = ["image" if value < 0 else f"arena + {places.values[value]}" for value in step.inputs]
    to = "scores" if place == last else f"arena + {places.values[place]}"
    pixels, channels, relu = prod(step.shape[:2]), step.shape[2], int(step.function == "relu")
    slides, weights = f"&window{place}", f"weight{place}, bias{place}"
    x, patch = inputs[-1], f"arena + {places.patches[place]}" if place in places.patches else "0"
    match step.kind:
        case "image":
            return "image_in", [f"image_in({x}, {to}, {pixels}, {channels}, mean, std);"]
        case "conv" if step.depthwise:
            return "depthwise", [f"depthwise({x}, {to}, {slides}, {weights}, {relu});"]
        case "conv":
            return "conv", [f"conv({x}, {to}, {patch}, {slides}, {weights}, {relu});"]
        case "max_pool" | "avg_pool":
            return step.kind, [f"{step.kind}({x}, {to}, {slides});"]
        case "add":
            return "add", [f"add({', '.join(inputs)}, {to}, {step.size}, {relu});"]
        case "multiply":
            each = channels if step.before != step.shape else 0
            return "multiply", [f"multiply({', '.join(inputs)}, {to}, {step.size}, {each});"]
        case "scale":
            return "scale", [f"scale({', '.join(inputs)}, {to}, {pixels}, {channels});"]
        case "concat":
            own = step.before[2]
            parts = ((inputs[0], to, channels - own), (x, f"{to} + {channels - own}", own))
            return "concat", [f"concat({value}, {at}, {pixels}, {count}, {channels});" for value, at, count in parts]
        case "flatten":
            return "flatten", [f"flatten({x}, {to}, {prod(step.before[:2])}, {step.before[2]});"]
        case "group_norm":
            assert step.weight is not None
            each = int(step.weight.size != channels or step.weight.ndim == 3)
            how = f"{step.groups}, {number(step.parameter)}, {weights}, {each}"
            return "group_norm", [f"group_norm({x}, {to}, {pixels}, {channels}, {how});"]
    return _function(step, x, to, place)


def _function(step: Step, x: str, to: str, place: int) -> tuple[str, list[str]]:
    assert step.function is not None
    name, more = CALLED.get(step.function, step.function), ""
    if step.function in ("leaky_relu", "elu"):
        more = f", {number(step.parameter)}"
    elif step.function == "prelu":
        assert step.weight is not None
        more = f", {step.weight.size}, weight{place}"
    return name, [f"{name}({x}, {to}, {step.size}{more});"]
