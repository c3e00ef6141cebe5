"""Moves of the network: another arrangement of layers, then widths that keep the budget.

A change of layers is a function of the network, which yields candidates whose values are networks of any size. One function makes
moves of them all: it fits their widths.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from stepladder.climb.blocks import Block, hidden, padded, pools, repeated, replaced, stages, stride
from stepladder.climb.candidate import Candidate
from stepladder.climb.widths import depthwise, fitted, scaled, shifted
from stepladder.networks import layers
from stepladder.spec import Budget, Layer, Network, Recipe, SpecError, UserError
from stepladder.spec.layers import AvgPool, BlurPool, Conv, Excite, GlobalAvgPool, Linear, MaxPool, Residual
from stepladder.steps import Step

MOST_WORK = 1.5
"""So many times the multiply-adds of the present network a candidate may have: an evening is limited too."""


def widths(step: Step, budget: Budget) -> Iterator[Candidate]:
    """All widths a quarter more, or less by as much."""
    network = layers(step.network)
    if network is None:
        return
    for name, factor, title, target in (
        ("widths x 1.25", 1.25, "More channels", "A quarter more channels in every layer: room for more patterns."),
        ("widths / 1.25", 1 / 1.25, "Fewer channels", "Four fifths of the channels in every layer: do with fewer parameters."),
    ):
        try:
            yield Candidate(name, "network", scaled(network, factor), title, target)
        except SpecError:
            continue


def rearranged(step: Step, budget: Budget) -> Iterator[Candidate]:
    """Every change of the layers, as wide as the budget allows and `MOST_WORK`."""
    network = layers(step.network)
    if network is None:
        return
    most = MOST_WORK * macs(network)
    for change in CHANGES:
        for candidate in change(network):
            value = fitted(candidate.value, lambda found: macs(found) <= most and allowed(found, step.recipe, budget))
            if value is not None:
                yield candidate._replace(value=value)


def allowed(network: Network, recipe: Recipe, budget: Budget) -> bool:
    """Whether a step of a network and a recipe is within the budget."""
    try:
        return not Step("Fitted", network, recipe).exceeds(budget)
    except UserError:  # of a budget's limit that cannot be told of a network, too
        return False


def macs(network: Network) -> int:
    """Multiply-adds for one image."""
    shapes = network.shapes()
    return sum(layer.macs(before, after) for layer, before, after in zip(network.layers, shapes, shapes[1:], strict=False))


def more_blocks(network: Network) -> Iterator[Candidate]:
    """A copy of the last block of each size of image, padded so that it keeps the size."""
    shapes = network.shapes()
    for number, blocks in enumerate(stages(network), start=1):
        made = repeated(network, blocks[-1])
        if made is not None:
            size = " x ".join(map(str, shapes[blocks[-1].stop][1:]))
            title = f"One {_words(network, blocks[-1])} more at {size}"
            target = f"Another layer of patterns while the image is {size}."
            yield Candidate(f"block more in stage {number}", "network", made, title, target)


def fewer_blocks(network: Network) -> Iterator[Candidate]:
    """Each hidden block left out."""
    for number, block in enumerate(hidden(network), start=1):
        made = replaced(network, block.start, block.stop, [])
        if made is not None and not _starts_depthwise(made):
            target = "One layer less, and its parameters for the others."
            yield Candidate(f"without block {number}", "network", made, f"Without {_words(network, block)} {number}", target)


def shifted_widths(network: Network) -> Iterator[Candidate]:
    """Channels moved from the layers before the last pooling to those after it, and back."""
    places = [number for number, layer in enumerate(network.layers) if stride(layer) > 1]
    if places:
        for name, early, late, target in (
            ("late", 0.8, 1.25, "More channels where the image is small, fewer where it is large."),
            ("early", 1.25, 0.8, "More channels where the image is large, fewer where it is small."),
        ):
            try:
                made = shifted(network, places[-1], early, late)
            except SpecError:
                continue
            yield Candidate(f"{name} layers wider", "network", made, f"Wider {name} layers", target)


def separable(network: Network) -> Iterator[Candidate]:
    """Every plain convolution, but that of the image, as a depthwise one without norm and activation and a 1 x 1 convolution
    (Howard et al. 2017, without the norm between the two)."""
    made, shapes = network, network.shapes()
    convolutions = [number for number, layer in enumerate(network.layers) if isinstance(layer, Conv)]
    for at in reversed(convolutions[1:]):  # from the end, so that the numbers of those before stay
        layer, into = network.layers[at], shapes[at][0]
        if isinstance(layer, Conv) and layer.kernel > 1 and layer.groups == 1 and into > 1:
            depth = replace(layer, channels=into, groups=into, bias=False, norm=None, activation=None)
            mixed = Conv(layer.channels, kernel=1, bias=layer.bias, norm=layer.norm, activation=layer.activation)
            made = replaced(made, at, at + 1, [depth, mixed]) or made
    if made != network:
        target = "See each channel in place, then mix them: more channels for as many parameters."
        yield Candidate("separable convolutions", "network", made, "Separable convolutions", target)


def pooling_kinds(network: Network) -> Iterator[Candidate]:
    """All poolings of one kind: the largest, the mean, or a blur before every second row and column is taken."""
    for name, title, target in (
        ("max pooling", "Max pooling", "Hand on the strongest answer of each neighbourhood."),
        ("average pooling", "Average pooling", "Hand on the mean of each neighbourhood."),
        ("blur pooling", "Anti-aliased pooling", "Keep what moves when what is seen moves by a pixel."),
    ):
        made: Network | None = network
        for number in pools(network):
            pool = _pool(name, network.layers[number])
            made = replaced(made, number, number + 1, [pool]) if made is not None else None
        if made is not None and made != network:
            yield Candidate(name, "network", made, title, target)


def moved_pools(network: Network) -> Iterator[Candidate]:
    """Each pooling before the hidden block that it follows, or after the one that follows it."""
    blocks = hidden(network)
    ends, starts = {block.stop: block for block in blocks}, {block.start: block for block in blocks}
    for number, at in enumerate(pools(network), start=1):
        pool = network.layers[at]
        for name, block, target in (
            ("earlier", ends.get(at), "See more of the image sooner, for less work."),
            ("later", starts.get(at + 1), "Look longer while details are there."),
        ):
            if block is None or block.start == 0:
                continue
            inner = network.layers[block.start : block.stop]
            new: list[Layer] = [pool, *inner] if name == "earlier" else [*inner, pool]
            made = replaced(network, min(at, block.start), max(at + 1, block.stop), new)
            if made is not None:
                yield Candidate(f"pooling {number} {name}", "network", made, f"Pooling {number} {name}", target)


def residuals(network: Network) -> Iterator[Candidate]:
    """A sum of what enters and what leaves a block of convolutions that keeps the number of channels (He et al. 2016): padded,
    and activated after the sum."""
    shapes = network.shapes()
    for number, block in enumerate(hidden(network), start=1):
        inner = network.layers[block.start : block.stop]
        last = inner[-1]
        plain = all(isinstance(layer, Conv) and layer.stride == 1 for layer in inner)
        if plain and isinstance(last, Conv) and last.activation and shapes[block.start][0] == last.channels:
            new = padded([*inner[:-1], replace(last, activation=None)])
            new.append(Residual(len(new)))
            made = replaced(network, block.start, block.stop, new)
            if made is not None:
                target = "Let the block learn what to add to its input."
                title = f"Residual sum around {_words(network, block)} {number}"
                yield Candidate(f"residual {number}", "network", made, title, target)


def excitations(network: Network) -> Iterator[Candidate]:
    """Squeeze-and-excitation (Hu, Shen and Sun 2018) after the last block of each size of image but the first, where there are
    several: the channels of a quarter of the features."""
    shapes, found = network.shapes(), stages(network)
    for number, blocks in list(enumerate(found, start=1))[len(found) > 1 :]:
        block = blocks[-1]
        width = shapes[block.stop][0]
        if any(isinstance(layer, Excite) for layer in network.layers[block.start : block.stop]):
            continue
        squeeze: list[Layer] = [GlobalAvgPool(), Linear(max(2, width // 4), activation="relu"), Linear(width), Excite(3)]
        made = replaced(network, block.stop, block.stop, squeeze)
        if made is not None:
            target = "Let the whole image say which channels count."
            title = "Squeeze-and-excitation" if len(found) <= 2 else f"Squeeze-and-excitation in stage {number}"
            yield Candidate(f"squeeze-and-excitation in stage {number}", "network", made, title, target)


CHANGES: tuple[Callable[[Network], Iterator[Candidate]], ...] = (
    *(more_blocks, fewer_blocks, shifted_widths, separable, pooling_kinds, moved_pools, residuals, excitations),
)
"""Changes of the layers; another joins by being listed."""


def _words(network: Network, block: Block) -> str:
    """What a person calls a block."""
    convolutions = sum(isinstance(layer, Conv) for layer in network.layers[block.start : block.stop])
    return "convolution" if convolutions == 1 else "block"


def _starts_depthwise(network: Network) -> bool:
    """Whether the first convolution sees every channel of the image by itself, or had to give that up for its one channel."""
    first = next((layer for layer in network.layers if isinstance(layer, Conv)), None)
    return first is not None and (depthwise(first, network.input) or (first.channels == first.groups == network.input[0]))


def _pool(name: str, layer: Layer) -> Layer:
    """A pooling of the named kind that takes as large steps; the layer itself where it is of that kind."""
    match name, layer:
        case "blur pooling", MaxPool() | AvgPool():
            return BlurPool(stride=layer.step)
        case "max pooling", AvgPool():
            return MaxPool(layer.kernel, layer.stride, layer.padding)
        case "average pooling", MaxPool():
            return AvgPool(layer.kernel, layer.stride, layer.padding)
        case "max pooling", BlurPool():
            return MaxPool(layer.stride)
        case "average pooling", BlurPool():
            return AvgPool(layer.stride)
    return layer
