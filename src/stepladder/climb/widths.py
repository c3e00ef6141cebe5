"""The widths of a network's layers: scaled by one factor, and fitted to what is allowed.

A width is what one layer chooses: the channels of a convolution, the features of a linear layer. Those that must agree, as the
two inputs of a sum, are one; a depthwise convolution has its input's, and the classes and the image's channels stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor, gcd, lcm, prod

from stepladder.spec import Layer, Network, Shape, SpecError
from stepladder.spec.layers import Branch, Concat, Conv, Excite, Flatten, GroupNorm, Linear, Multiply, Residual


@dataclass(eq=False)
class _Width:
    """Channels that layer number `place` chooses: a multiple of `multiple`, at least `least`; or, once it is `tied`, another's."""

    channels: int
    place: int = 0
    multiple: int = 1
    least: int = 1
    fixed: bool = False
    tied: "_Width | None" = None

    def scaled(self, factor: float) -> int:
        """The nearest width to so many times this one that can be."""
        if self.fixed:
            return self.channels
        steps = floor(self.channels * factor / self.multiple + 0.5 + 1e-9)  # of what lies between two, the larger
        return self.multiple * max(steps, -(-self.least // self.multiple))


_Parts = tuple[tuple[_Width, int], ...]
"""What the channels of a place in the network are made of: widths, and how often each is there."""


def depthwise(layer: Layer, before: Shape) -> bool:
    """Whether a layer is a convolution that sees every channel of its input by itself."""
    return isinstance(layer, Conv) and 1 < layer.groups == before[0]


def scaled(network: Network, factor: float) -> Network:
    """The network with all widths times `factor`, each rounded to one that can be; raises SpecError where that is too large."""
    return _resized(network, network.shapes(), _parts(network), [factor] * len(network.layers))


def shifted(network: Network, place: int, early: float, late: float) -> Network:
    """The network with the widths of its first `place` layers times `early`, and those of the others times `late`; raises
    SpecError where that is too large."""
    return _resized(network, network.shapes(), _parts(network), [early] * place + [late] * (len(network.layers) - place))


def fitted(network: Network, fits: Callable[[Network], bool]) -> Network | None:
    """The widest network that fits, of those with all widths times one factor; None where none does.

    `fits` is to hold for a network wherever it holds for a wider one. The factors at which a width grows by one are bisected.
    """
    parts, shapes = _parts(network), network.shapes()

    def fitting(factor: float) -> Network | None:
        try:
            found = _resized(network, shapes, parts, [factor] * len(network.layers))
        except SpecError:
            return None
        return found if fits(found) else None

    widths = {width for width in map(_root, _all(parts)) if not width.fixed}
    low, best = 1.0, fitting(1.0)
    if best is None:
        low, best = 0.0, fitting(0.0)  # all of them as narrow as can be
        high = 1.0
    else:
        high = 2.0
        while widths and (wider := fitting(high)) is not None:
            low, high, best = high, 2 * high, wider
    if best is None:
        return None
    factors = sorted({factor for width in widths for factor in _growths(width, low, high)})
    least, most = 0, len(factors)  # of these factors fit at least the first `least`, and fewer than `most` + 1
    while least < most:
        middle = (least + most) // 2
        if (found := fitting(factors[middle])) is None:
            most = middle
        else:
            least, best = middle + 1, found
    return best


def _growths(width: _Width, low: float, high: float) -> list[float]:
    """The factors above `low` and below `high` at which a width grows."""
    steps = width.channels / width.multiple
    found = [(number + 0.5) / steps for number in range(floor(low * steps - 0.5), floor(high * steps) + 1)]
    return [factor for factor in found if low < factor < high]


def _resized(network: Network, shapes: Sequence[Shape], parts: Sequence[_Parts], factors: Sequence[float]) -> Network:
    """The network with every width times the factor of the layer that chooses it."""
    sizes = {width: _root(width).scaled(factors[_root(width).place]) for width in _all(parts)}
    channels = [sum(sizes[width] * times for width, times in each) for each in parts]
    layers = []
    for layer, shape, before, after in zip(network.layers, shapes, channels, channels[1:], strict=False):
        layers.append(_wide(layer, shape, before, after))
    return Network(layers, network.input, network.classes)


def _wide(layer: Layer, shape: Shape, before: int, after: int) -> Layer:
    """A layer whose input had a `shape`, for so many channels before and after it."""
    match layer:
        case Conv() if layer.channels != after:
            return replace(layer, channels=after, groups=before if depthwise(layer, shape) else layer.groups)
        case Linear() if layer.features != after:
            return replace(layer, features=after)
        case GroupNorm() if layer.groups == shape[0] != before:
            return replace(layer, groups=before)  # a norm of each channel by itself
    return layer


def _all(parts: Sequence[_Parts]) -> list[_Width]:
    return [width for each in parts for width, _ in each]


def _root(width: _Width) -> _Width:
    while width.tied is not None:
        width = width.tied
    return width


def _parts(network: Network) -> list[_Parts]:
    """What the channels are made of before the first layer and after each."""
    shapes = network.shapes()
    found: list[_Parts] = [((_Width(network.input[0], fixed=True), 1),)]
    for number, (layer, (before, _)) in enumerate(zip(network.layers, pairwise(shapes), strict=True)):
        parts = found[-1]
        source = found[number - layer.layers] if isinstance(layer, Branch | Concat | Excite | Multiply | Residual) else ()
        match layer:
            case Conv() if depthwise(layer, before):
                _hold(parts, least=2)  # of one channel it would be a convolution like others
                parts = _times(parts, layer.channels // layer.groups)
            case Conv():
                _hold(parts, multiple=layer.groups)
                parts = ((_Width(layer.channels, number, multiple=layer.groups, least=layer.groups), 1),)
            case Linear():
                parts = ((_Width(layer.features, number), 1),)
            case GroupNorm() if layer.groups != before[0]:
                _hold(parts, multiple=layer.groups)
            case Flatten():
                parts = _times(parts, prod(before[1:]))
            case Residual() | Multiply() | Excite():
                _tie(parts, source)
                parts = source
            case Branch():
                parts = source
            case Concat():
                parts = source + parts
        found.append(parts)
    for width, _ in found[-1]:
        _root(width).fixed = True
    return found


def _times(parts: _Parts, count: int) -> _Parts:
    return tuple((width, times * count) for width, times in parts)


def _hold(parts: _Parts, multiple: int = 1, least: int = 1) -> None:
    """Keep these channels a multiple of `multiple` and at least `least`: as they are, where only their sum is such a multiple."""
    for width, times in parts:
        root = _root(width)
        root.least = max(root.least, least)
        root.multiple = lcm(root.multiple, multiple // gcd(multiple, times))
    if any(_root(width).channels % _root(width).multiple for width, _ in parts):
        for width, _ in parts:
            _root(width).fixed = True


def _tie(mine: _Parts, others: _Parts) -> None:
    """Make two inputs of a join agree from now on: width by width, or as they are, where they are made in other ways."""
    pairs = [(_root(width), _root(other)) for (width, _), (other, _) in zip(mine, others, strict=False)]
    alike = [(width.channels, times) for width, times in mine] == [(width.channels, times) for width, times in others]
    for width, other in pairs if alike else ():
        first, second = sorted((_root(width), _root(other)), key=lambda each: each.place)
        if first is not second:
            first.multiple, first.least = lcm(first.multiple, second.multiple), max(first.least, second.least)
            first.fixed |= second.fixed
            second.tied = first
    if not alike:
        for width, _ in (*mine, *others):
            _root(width).fixed = True
