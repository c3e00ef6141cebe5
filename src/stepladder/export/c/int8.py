"""A program's source in integers."""

from math import prod

from stepladder.export.c.quantise import MIDDLE, IntegerProgram, Quantised
from stepladder.export.c.source import Source
from stepladder.export.c.text import array, requantise, window
from stepladder.inference.arena import Arena, arena
from stepladder.inference.figures import figures
from stepladder.inference.operation import Program


def source(program: Program, whole: IntegerProgram) -> Source:
    """Its constants, calls and arena."""
    found = [quantised.step for quantised in whole.steps]
    kept = not whole.steps[-1].scores
    places = arena(found, kept)
    constants: list[str] = []
    calls, used = [], []
    for place, quantised in enumerate(whole.steps):
        constants += _constants(quantised, place)
        made, call = _call(quantised, place, places)
        used.append(made)
        calls += call
    if kept:
        used.append("scores_of")
        calls.append(f"scores_of(arena + {places.values[len(found) - 1]}, scores, {found[-1].size}, {whole.last.zero});")
    return Source("int8", "uint8_t", "int32_t", constants, used, calls, places.size, figures(program, True), whole.scale)


def _constants(quantised: Quantised, place: int) -> list[str]:
    step, made = quantised.step, []
    if quantised.scores != "mean" and step.kind in ("conv", "max_pool", "avg_pool") and quantised.scores != "conv":
        made.append(window(step, f"window{place}"))
    if quantised.weight is not None and quantised.bias is not None:
        made += [array("int8_t", f"weight{place}", quantised.weight), array("int32_t", f"bias{place}", quantised.bias)]
    if quantised.multipliers is not None and step.kind in ("conv", "image"):
        made.append(array("int32_t", f"multiplier{place}", quantised.multipliers))
    if quantised.table is not None:
        made.append(array("uint16_t" if step.kind == "scale" else "uint8_t", f"table{place}", quantised.table))
    if quantised.to:
        made.append(requantise(quantised.to, f"to{place}"))
    return made


def _call(quantised: Quantised, place: int, places: Arena) -> tuple[str, list[str]]:
    """The kernel of a step, and the lines that call it."""
    step, zeros = quantised.step, quantised.zeros
    inputs = ["image" if value < 0 else f"arena + {places.values[value]}" for value in step.inputs]
    to = "scores" if quantised.scores else f"arena + {places.values[place]}"
    pixels, channels, x = prod(step.shape[:2]), step.shape[2], inputs[-1]
    slides, target = f"&window{place}", f"to{place}"
    by = [] if quantised.multipliers is None else [int(each) for each in quantised.multipliers]
    weights = f"weight{place}, bias{place}, multiplier{place}"
    patch = f"arena + {places.patches[place]}" if place in places.patches else "0"
    match step.kind:
        case "conv" if quantised.scores:
            return "scores_conv", [f"scores_conv({x}, {to}, {step.taps}, {channels}, {weights}, {MIDDLE}, {target});"]
        case "avg_pool" if quantised.scores:
            return "scores_mean", [f"scores_mean({x}, {to}, {prod(step.before[:2])}, {channels}, {zeros[0]});"]
        case "image":
            return "image_in", [f"image_in({x}, {to}, {pixels}, {channels}, multiplier{place}, {target});"]
        case "conv" if step.depthwise:
            return "depthwise", [f"depthwise({x}, {to}, {slides}, {weights}, {zeros[0]}, {target});"]
        case "conv":
            return "conv", [f"conv({x}, {to}, {patch}, {slides}, {weights}, {zeros[0]}, {target});"]
        case "max_pool":
            return "max_pool", [f"max_pool({x}, {to}, {slides});"]
        case "avg_pool":
            return "avg_pool", [f"avg_pool({x}, {to}, {slides}, {by[0]}, {zeros[0]}, {target});"]
        case "add":
            return "add", [f"add({', '.join(inputs)}, {to}, {step.size}, {by[0]}, {by[1]}, {target});"]
        case "multiply":
            each = channels if step.before != step.shape else 0
            numbers = f"{step.size}, {each}, {zeros[0]}, {zeros[1]}, {by[0]}"
            return "multiply", [f"multiply({', '.join(inputs)}, {to}, {numbers}, {target});"]
        case "scale":
            return "scale", [
                f"scale({', '.join(inputs)}, {to}, {pixels}, {channels}, {zeros[0]}, table{place}, {by[0]}, {target});"
            ]
        case "concat":
            own = step.before[2]
            parts = ((inputs[0], to, channels - own), (x, f"{to} + {channels - own}", own))
            return "concat", [
                f"concat({value}, {at}, {pixels}, {count}, {channels}, {by[part]}, {target} + {part});"
                for part, (value, at, count) in enumerate(parts)
            ]
        case "flatten":
            return "flatten", [f"flatten({x}, {to}, {prod(step.before[:2])}, {step.before[2]});"]
    return "function", [f"function({x}, {to}, {step.size}, table{place});"]
