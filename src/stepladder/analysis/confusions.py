"""What is mistaken for what, and how often."""

from collections.abc import Sequence
from typing import NamedTuple

from stepladder.analysis.figures import per_run
from stepladder.evidence import Evidence


class Confusions(NamedTuple):
    """All wrong answers (`errors`) of a step's finished seeds; of these the most frequent: how many `times` images of class `label`
    were answered as `answer`, and whether others are as frequent (`tied`)."""

    errors: int
    label: int
    answer: int
    times: int
    tied: bool


def confusions(evidence: Evidence) -> Confusions | None:
    """The wrong answers of a step; None where there are none."""
    wrong = {
        (label, answer): times
        for label, row in enumerate(evidence.confusion or ())
        for answer, times in enumerate(row)
        if times and answer != label
    }
    if not wrong:
        return None
    (label, answer), most = max(wrong.items(), key=lambda item: item[1])
    return Confusions(sum(wrong.values()), label, answer, most, list(wrong.values()).count(most) > 1)


def frequent(found: Confusions, names: Sequence[str], runs: int) -> str:
    """'Of 59 errors per run, the most frequent is 4 mistaken for 9': classes by their names, by default their numbers."""
    most = "one of the most frequent is" if found.tied else "the most frequent is"
    said = names or [str(number) for number in range(max(found.label, found.answer) + 1)]
    per = "" if runs == 1 else " per run"
    errors = f"{per_run(found.errors, runs)} error{'' if found.errors == runs else 's'}"
    return f"Of {errors}{per}, {most} {said[found.label]} mistaken for {said[found.answer]}"
