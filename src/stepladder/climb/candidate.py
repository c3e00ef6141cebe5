"""A change of one concept that a climb may try."""

from typing import Any, NamedTuple


class Candidate(NamedTuple):
    """One move of a step: `concept`, one of `steps.CONCEPTS`, becomes `value`.

    `name` is the move and its argument, the same at every step and no other candidate's of the same step. `title` and `target`
    are those of the step that it makes.
    """

    name: str
    concept: str
    value: Any
    title: str
    target: str
