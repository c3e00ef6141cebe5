"""The report as one HTML file: styles, charts and images are inside it, and nothing is ever requested."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from stepladder import analysis, networks
from stepladder.evidence import MARGIN
from stepladder.page import along, overview, views, words
from stepladder.page.charts import MANY
from stepladder.page.drawing import drawing, fields
from stepladder.page.pictures import SHARP, album
from stepladder.page.trained import Trained
from stepladder.page.tree import rails
from stepladder.steps import Ladder

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("network.js", "compare.js", "charts.js", "place.js", "take.js", "look.js")


def html(
    found: dict[str, Any],
    ladder: Ladder,
    images: NDArray[np.uint8],
    examples: Sequence[int] = (0,),
    trained: Mapping[str, Trained] = MappingProxyType({}),
) -> str:
    """The page for report.json's data; `images` are the test images (n, channels, height, width), into which `misclassified`
    points, `examples` are those of them that are shown to the `trained` networks, by their steps."""
    spans, budget, names = views.spans(found), found["budget"], found["data"]["classes"]
    ink = views.is_ink(images)
    by_id = {step["id"]: step for step in found["steps"]}
    pictures = album([examples, *_galleries(found["steps"], by_id)], images, inverted=ink)
    accuracies, effects = overview.accuracies(found), overview.effects(found)
    script = _script()
    return _environment().get_template("report.html").render(
        report=found,
        script=Markup(script),
        script_digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        accuracies=accuracies,
        effects=effects,
        margin=MARGIN,
        lanes=max(rail.lane for rail in rails(found["steps"])) + 1,
        images=len(images),
        ink=ink,
        sharp=max(images.shape[2:]) <= SHARP,
        pictures=pictures,
        longest=max(map(len, names)),
        example=examples[min(2, len(examples) - 1)],
        classes=along.classes(found["steps"], names),
        hard=along.hard(found["steps"], pictures, names),
        comparison=along.comparison(found["steps"], names),
        many=MANY,
        steps=[
            {
                "data": data,
                "rail": rail,
                "target": overview.target(data),
                "effect": overview.effect(data),
                "accuracy_mark": overview.accuracy_mark(data, accuracies),
                "effect_mark": overview.effect_mark(data, effects),
                "change": step.change,
                "charts": views.charts(data, budget["accuracy"], spans, by_id.get(data["parent"])),
                "confusion": views.confusion(data, names),
                "exchange": along.exchange(data, by_id.get(data["parent"]), pictures, names),
                "gallery": views.gallery(data["misclassified"], pictures, names),
                "then": [words.then(after) for after in networks.then(step.network, step.recipe.dropout)],
                "drawing": drawing(step, data),
                "fields": fields(step, data),
                "trained": trained.get(data["id"]),
                "choices": views.choices(examples, data["misclassified"], pictures, names),
                "layers": " · ".join(words.layers(step.network)),
            }
            for data, step, rail in zip(found["steps"], ladder.steps, rails(found["steps"]), strict=True)
        ],
    )  # fmt: skip


def _galleries(steps: Sequence[dict[str, Any]], by_id: Mapping[str, dict[str, Any]]) -> Iterator[list[int]]:
    """The images of all galleries of the page."""
    yield [index for index, _, _ in along.hardest(steps)]
    for step in steps:
        yield [image["index"] for image in step["misclassified"][: views.GALLERY]]
        for turned in along.turned(step, by_id.get(step["parent"])):
            yield turned[: along.EXCHANGED]
    yield along.compared(steps)


def _script() -> str:
    """What the page's script is made of, in one."""
    return '"use strict";\n' + "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"words": words, "cells": analysis.cells}
    made.filters |= {
        "percent": lambda fraction: _tied(analysis.percent(fraction)),
        "percents": lambda low, high: _tied(analysis.percents(low, high)),
        "points": lambda difference: _tied(analysis.points(difference)),
        "counted": analysis.counted,
        "tied": _tied,
        "coded": _coded,
        "comma": lambda number: f"{number:,}",
        "size": _size,
        "safe_svg": Markup,
    }
    return made


def _tied(text: str) -> str:
    """Text whose figures stay on one line with their unit, with a true minus sign."""
    tied = re.sub(r"(?<=\d) (?=%|points?\b)", "\N{NO-BREAK SPACE}", text)
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", tied)


def _coded(text: str) -> Markup:
    """Tied text in which what stands between backticks is code."""
    parts = _tied(text).split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts))


def _size(found: Any) -> str:
    """A number, or a shape as '14 x 26 x 26'; nothing for None."""
    if found is None:
        return ""
    return str(found) if isinstance(found, int) else " \N{MULTIPLICATION SIGN} ".join(map(str, found))
