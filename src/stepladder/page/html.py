"""The report as one HTML file: styles, charts and images are inside it, and nothing is ever requested."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from stepladder import analysis
from stepladder.page import views, words
from stepladder.page.tree import rails
from stepladder.spec import Ladder


def html(found: dict[str, Any], ladder: Ladder, images: NDArray[np.uint8]) -> str:
    """The page for report.json's data; `images` are the test images (n, height, width) that `misclassified` points into."""
    spans = views.spans(found)
    axis = views.axis(found)
    return _environment().get_template("report.html").render(
        report=found,
        budget_words=words.budget(found["budget"]),
        measured=words.measured(found),
        axis=axis,
        lanes=max(rail.lane for rail in rails(found["steps"])) + 1,
        images=len(images),
        steps=[
            {
                "data": data,
                "rail": rail,
                "verdict": views.verdict(data, found["budget"]),
                "strip": views.strip(data, axis),
                "concept": words.concept(step.change.concept) if step.change else None,
                "brief": words.brief(step.change) if step.change else "",
                "parts": words.parts(step.change) if step.change else None,
                "layers_words": " · ".join(words.layers(step.network)),
                "charts": views.charts(data, found["budget"]["accuracy"], spans),
                "confusion": views.confusion(data["confusion"]),
                "gallery": views.gallery(data["misclassified"], images),
            }
            for data, step, rail in zip(found["steps"], ladder.steps, rails(found["steps"]), strict=True)
        ],
    )  # fmt: skip


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": lambda fraction: _tied(analysis.percent(fraction)),
        "percents": lambda low, high: _tied(analysis.percents(low, high)),
        "points": lambda difference: _tied(analysis.points(difference)),
        "point_range": lambda low, high: _tied(analysis.point_range(low, high)),
        "counted": analysis.counted,
        "machine": words.machine,
        "tied": _tied,
        "comma": lambda number: f"{number:,}",
        "size": _size,
        "safe_svg": Markup,
    }
    return made


def _tied(text: str) -> str:
    """Text whose figures stay on one line with their unit, with a true minus sign."""
    tied = re.sub(r"(?<=\d) (?=%|points?\b)", "\N{NO-BREAK SPACE}", text)
    return re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", tied)


def _size(found: Any) -> str:
    """A number, or a shape as '14 x 26 x 26'; nothing for None."""
    if found is None:
        return ""
    return str(found) if isinstance(found, int) else " \N{MULTIPLICATION SIGN} ".join(map(str, found))
