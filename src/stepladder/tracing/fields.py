"""What one position of a map sees of the image, on each axis, through windows, transposed windows and resizings.

As in `anatomy.Reach`, but exact where neighbours do not see alike: after enlarging a map two times, positions 2i and
2i + 1 see the same pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from stepladder.anatomy import Seen
from stepladder.spec import UserError
from stepladder.spec.window import Pair

Taps = Sequence[Iterable[int]]
"""Which positions before each position after sees; those follow one another periodically."""


@dataclass(frozen=True)
class Sight:
    """What the positions of one axis see: position p the pixels of `spans` (low to high, inclusive, negative in the padding)
    at p modulo their number, `jump` pixels further after each round. Jump 0 is that of one value spread over a map."""

    jump: int = 1
    spans: tuple[Pair, ...] = ((0, 0),)

    @property
    def pace(self) -> Fraction:
        """How many pixels apart neighbours are, on average."""
        return Fraction(self.jump, len(self.spans))

    def size(self, places: int) -> int:
        """The most pixels that one of so many positions sees."""
        return max(high - low + 1 for low, high in self.spans[: max(places, 1)])

    def at(self, position: int) -> Pair:
        """The pixels that a position sees; one outside the map is in the padding."""
        turn, phase = divmod(position, len(self.spans))
        low, high = self.spans[phase]
        return low + turn * self.jump, high + turn * self.jump

    def through(self, taps: Taps, step: int = 1) -> "Sight":
        """The sight of positions that see those of `taps`, and `step` further after each round of them."""
        rounds = lcm(step, len(self.spans)) // abs(step) if self.jump else 1
        spans = [_hull(self.at(tap + turn * step) for tap in some) for turn in range(rounds) for some in taps]
        return Sight(self.jump * step * rounds // len(self.spans), tuple(spans)).shortest()

    def still(self) -> "Sight":
        """That of the first position, wherever one looks: the positions of a map over which it was spread."""
        return Sight(0, (self.at(0),))

    def shortest(self) -> "Sight":
        """The same, by the shortest round."""
        for length in range(1, len(self.spans)):
            if len(self.spans) % length == 0 and self.jump * length % len(self.spans) == 0:
                short = Sight(self.jump * length // len(self.spans), self.spans[:length])
                if all(short.at(position) == span for position, span in enumerate(self.spans)):
                    return short
        return self

    def joined(self, other: "Sight") -> "Sight":
        """What positions that see both ways see: the hull; their paces are the same."""
        length = lcm(len(self.spans), len(other.spans))
        spans = tuple(_hull((self.at(position), other.at(position))) for position in range(length))
        return Sight(int(self.pace * length), spans).shortest()


View = tuple[Sight, Sight]
"""One way in which a position sees the image: along its height and its width."""


def union(views: Sequence[View], size: Pair) -> tuple[View, ...]:
    """What a position of a map of `size` (height, width) sees in all these ways: those of one pace become one.

    On an axis with one position the pace does not matter. Raises UserError where other paces differ (but for 0), so that
    positions do not match.
    """
    paces = [max(abs(view[axis].pace) for view in views) for axis in range(2)]
    joined: dict[tuple[Fraction, Fraction], View] = {}
    for axis in range(2):
        found = sorted({view[axis].pace for view in views} - {Fraction(0)})
        if size[axis] > 1 and len(found) > 1:
            text = " and ".join(str(number(pace)) for pace in found)
            raise UserError(f"joins branches whose jumps differ ({text} pixels), expected one jump, or a 1 x 1 map")
    for view in views:
        high, wide = (_alone(sight, paces[axis]) if size[axis] == 1 else sight for axis, sight in enumerate(view))
        key = high.pace, wide.pace
        joined[key] = (joined[key][0].joined(high), joined[key][1].joined(wide)) if key in joined else (high, wide)
    return tuple(joined.values())


def widest(views: Sequence[View], places: Pair) -> Seen:
    """For a row, of a map of so many rows and columns: largest jump and widest field on each axis. Away from the borders
    that field holds the others."""
    jumps = [number(max(abs(view[axis].pace) for view in views)) for axis in range(2)]
    sizes = [max(view[axis].size(places[axis]) for view in views) for axis in range(2)]
    return Seen((jumps[0], jumps[1]), (sizes[0], sizes[1]))


def number(pace: Fraction) -> float:
    """A whole number where it is one, else to three digits."""
    return pace.numerator if pace.denominator == 1 else round(float(pace), 3)


def _hull(spans: Iterable[Pair]) -> Pair:
    lows, highs = zip(*spans, strict=True)
    return min(lows), max(highs)


def _alone(sight: Sight, pace: Fraction) -> Sight:
    """That of an axis with one position, at a pace that it keeps for show."""
    low, high = sight.at(0)
    length = pace.denominator
    return Sight(pace.numerator, tuple((low + int(pace * k), high + int(pace * k)) for k in range(length)))
