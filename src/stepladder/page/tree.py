"""A tree of steps drawn as rails, one row for each step: a branch keeps its lane, a fork opens a new one."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Rail(NamedTuple):
    """A row of the drawing. Lanes count from 0: `lane` holds the step's dot, `above` and `below` are the lanes with a line
    in the upper and the lower half of the row, `forks` are the lanes that leave from the dot."""

    lane: int
    above: list[int]
    below: list[int]
    forks: list[int]


def rails(steps: Sequence[dict[str, Any]]) -> list[Rail]:
    """A rail for each step of a report; a step comes after its parent."""
    row = {step["id"]: place for place, step in enumerate(steps)}
    lanes: list[int] = []
    spans: list[tuple[int, int, int]] = []  # lane, from below this row, to above that row
    forks: list[list[int]] = [[] for _ in steps]
    continued: set[int] = set()
    for place, step in enumerate(steps):
        if step["parent"] is None:
            lanes.append(0)
            continue
        parent = row[step["parent"]]
        if parent in continued:
            lanes.append(max(lanes) + 1)
            forks[parent].append(lanes[-1])
        else:
            lanes.append(lanes[parent])
            continued.add(parent)
        spans.append((lanes[-1], parent, place))
    return [
        Rail(
            lane=lanes[place],
            above=sorted({lane for lane, low, high in spans if low < place <= high}),
            below=sorted({lane for lane, low, high in spans if low <= place < high} - set(forks[place])),
            forks=forks[place],
        )
        for place in range(len(steps))
    ]
