"""What several steps show together: the images one fixes and breaks of another's, those that are hard for all, and each class
along the ladder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepladder import evidence
from stepladder.page.pictures import shown

EXCHANGED = 12
"""At most so many images that a step fixed are shown, and so many that it broke."""
HARDEST = 21
"""At most so many of the hardest images are shown."""
COMPARED = 240
"""At most so many images have a picture for the sake of two steps that may be compared."""

Step = dict[str, Any]


class Turned(NamedTuple):
    """An image with its label and the wrong answers given by name, and how many of the seeds missed it before and now."""

    image: int
    label: str
    answers: list[str]
    before: int
    now: int


class Exchange(NamedTuple):
    """What a step fixed and broke of another's: how many images, and those of them that are shown."""

    before: str
    seeds_before: int
    seeds: int
    fixed: int
    broken: int
    fixed_shown: list[Turned]
    broken_shown: list[Turned]


class Classes(NamedTuple):
    """Each class along the ladder: for each step with runs its id, the share of each class that it answered right with the depth of
    its shade (0 to 1; None for a class without an image), and which is the lowest."""

    names: Sequence[str]
    rows: list[tuple[str, list[tuple[float, float] | None], int]]


class Hard(NamedTuple):
    """An image with its label by name, and how many of all runs missed it."""

    image: int
    label: str
    missed: int
    runs: int


def turned(step: Step, parent: Step | None) -> tuple[list[int], list[int]]:
    """The images that a step fixed and broke of its parent's (`evidence.exchanged`), those first that turned in the largest share
    of seeds. Nothing where one of them has no finished seed."""
    if parent is None or not step["n"] or not parent["n"]:
        return [], []
    then, now = _shares(parent), _shares(step)

    def turn(index: int) -> tuple[float, int]:
        return -abs(then.get(index, 0.0) - now.get(index, 0.0)), index

    return sorted(step["fixed"], key=turn), sorted(step["broken"], key=turn)


def exchange(step: Step, parent: Step | None, pictures: Mapping[int, str], names: Sequence[str]) -> Exchange | None:
    """What a step fixed and broke of its parent's; None where one of them has no finished seed."""
    if parent is None or not step["n"] or not parent["n"]:
        return None
    missed = {image["index"]: image for image in step["misclassified"]}
    missed_before = {image["index"]: image for image in parent["misclassified"]}

    def told(index: int, wrong: Mapping[int, dict[str, Any]]) -> Turned:
        image, counts = wrong[index], (found.get(index, {"missed_by": 0})["missed_by"] for found in (missed_before, missed))
        return Turned(index, names[image["label"]], [names[int(answer)] for answer in image["answers"]], *counts)

    fixed, broken = turned(step, parent)
    shown_fixed, shown_broken = (each[: min(EXCHANGED, shown(each, pictures))] for each in (fixed, broken))
    return Exchange(
        before=parent["id"],
        seeds_before=parent["n"],
        seeds=step["n"],
        fixed=len(fixed),
        broken=len(broken),
        fixed_shown=[told(index, missed_before) for index in shown_fixed],
        broken_shown=[told(index, missed) for index in shown_broken],
    )


def hardest(steps: Sequence[Step]) -> list[tuple[int, int, int]]:
    """The images that most runs of all steps missed, each with its label and how many did; of those that more than one did."""
    missed, labels = Counter[int](), dict[int, int]()
    for image in (image for step in steps for image in step["misclassified"]):
        missed[image["index"]] += image["missed_by"]
        labels[image["index"]] = image["label"]
    found = sorted(missed.items(), key=lambda item: (-item[1], item[0]))
    return [(index, labels[index], count) for index, count in found[:HARDEST] if count > 1]


def hard(steps: Sequence[Step], pictures: Mapping[int, str], names: Sequence[str]) -> list[Hard]:
    """The hardest images, of those that have a picture; none of a ladder of which one step has runs."""
    if sum(step["n"] > 0 for step in steps) < 2:
        return []
    found, runs = hardest(steps), sum(step["n"] for step in steps)
    count = shown((index for index, _, _ in found), pictures)
    return [Hard(index, names[label], missed, runs) for index, label, missed in found[:count]]


def classes(steps: Sequence[Step], names: Sequence[str]) -> Classes | None:
    """Each class along the ladder, shaded from the highest share of all to the lowest; None of a ladder of which no step has
    runs."""
    found = [(step["id"], step["per_class"]) for step in steps if step["per_class"]]
    if not found:
        return None
    known = [share for _, shares in found for share in shares if share is not None]
    high, span = max(known), (max(known) - min(known)) or 1.0
    rows = []
    for name, shares in found:
        cells = [None if share is None else (share, round((high - share) / span, 3)) for share in shares]
        rows.append((name, cells, min((share, label) for label, share in enumerate(shares) if share is not None)[1]))
    return Classes(names, rows)


def compared(steps: Sequence[Step]) -> list[int]:
    """The images that most seeds of one step missed and most of another did not, hardest first: what can turn."""
    run = [_shares(step) for step in steps if step["n"]]
    most = Counter(index for shares in run for index, share in shares.items() if share > 0.5)
    return [index for index, count in most.most_common() if count < len(run)][:COMPARED]


def comparison(steps: Sequence[Step], names: Sequence[str]) -> dict[str, Any]:
    """What the page's script compares any two steps by. Of each step with runs: its texts, the mean test accuracy of each epoch and
    the last of each seed, and how many seeds missed which images; for each number of seeds how many standard errors a 95 % interval
    reaches to either side."""
    run = [step for step in steps if step["n"]]
    labels = {image["index"]: names[image["label"]] for step in run for image in step["misclassified"]}
    return {
        "steps": [
            {
                **{name: step[name] for name in ("id", "title", "parameters", "macs", "n")},
                "last": {str(seed): step["history"][str(seed)][-1]["test_accuracy"] for seed in step["seeds"]},
                "curve": _curve(step),
                "missed": [[image["index"], image["missed_by"]] for image in step["misclassified"]],
            }
            for step in run
        ],
        "labels": labels,
        "reach": {n: evidence.reach(n) for n in range(2, max((step["n"] for step in run), default=1) + 1)},
    }


def _curve(step: Step) -> list[float]:
    histories = [[epoch["test_accuracy"] for epoch in step["history"][str(seed)]] for seed in step["seeds"]]
    return [round(mean, 6) for mean in np.mean(histories, axis=0).tolist()]


def _shares(step: Step) -> dict[int, float]:
    """Of each image that a seed missed, the share of the seeds that did."""
    return {image["index"]: image["missed_by"] / step["n"] for image in step["misclassified"]}
