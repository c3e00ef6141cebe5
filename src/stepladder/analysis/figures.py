"""Figures as they are written in a sentence."""

from collections.abc import Sequence

from stepladder.evidence.estimates import SAME


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction as a percentage: 0.9941 is '99.41 %'."""
    return f"{100 * fraction:.{digits}f} %"


def points(difference: float, digits: int = 2) -> str:
    """A difference of fractions in percentage points, with its sign: 0.0005 is '+0.05 points'."""
    return f"{_signed(difference, digits)} points"


def percents(low: float, high: float, digits: int = 2) -> str:
    """A range of fractions: '99.35 to 99.47 %'."""
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def point_range(low: float, high: float, digits: int = 2) -> str:
    """A range of differences: '-0.01 to +0.11 points'."""
    return f"{_signed(low, digits)} to {points(high, digits)}"


def size(difference: float) -> str:
    """A difference of fractions in percentage points, without its sign: 0.0005 is '0.05 points'."""
    return f"{100 * abs(difference):.2f} points"


def counted(n: int, noun: str) -> str:
    """'1 seed', '9,060 parameters'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def times(count: str) -> str:
    """'1 time', '4.5 times'."""
    return f"{count} time{'' if count == '1' else 's'}"


def per_run(count: int, runs: int) -> str:
    """So many in so many runs for each of them, with one digit where it is not whole: '59', '4.5'."""
    return f"{round(count / runs, 1):,}".removesuffix(".0")


def called(id: str) -> str:
    """A step's id within a sentence: 'A3'; 'step 0' where it could be read as a number."""
    return f"step {id}" if id[:1].isdigit() else id


def sentence(text: str) -> str:
    """A text that may begin a sentence: ids are left as they are, but for 'Step 0'."""
    return f"Step {text.removeprefix('step ')}" if text.startswith("step ") else text


def listed(names: Sequence[str]) -> str:
    """'A3', 'A3 and A4', 'A1, A2 and A3'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def p_value(p: float) -> str:
    """'p 0.0313', 'p below 0.0001'."""
    return f"p {p:.3g}" if p >= 0.0001 else "p below 0.0001"


def rounded(difference: float, digits: int = 2) -> float:
    """A difference of fractions in points as it is printed, so that the words fit the figure beside them."""
    return round(100 * difference, digits)


def apart(goal: float, *fractions: float) -> int:
    """How many digits tell these fractions, as percentages, from the goal: 2, or 3 where one would be printed as the goal is."""
    alike = any(percent(fraction) == percent(goal) and abs(fraction - goal) > SAME for fraction in fractions)
    return 3 if alike else 2


def _signed(difference: float, digits: int = 2) -> str:
    return f"{rounded(difference, digits) + 0.0:+.{digits}f}"  # + 0.0: a difference that rounds to nothing is no '-0.00'
