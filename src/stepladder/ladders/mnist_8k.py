"""From the end of the ladder `mnist` to 99.4 % held by every seed, with fewer than 8,000 parameters within 15 epochs.

Up to C7 the network stays; only how it is trained changes. One-cycle rates with a peak of 0.1, weight decay of 5e-4 and rotation
up to 10 degrees are known from others' single runs, which watched the test set; whether they are taken, and all else, was chosen
on 10,000 training images kept back (`--holdout 10000`). Seeds 0 and 1 of the first four steps had been trained on all images
when the next four were settled; their figures were not used. C9 and C10 were chosen in the same way, after the test figures of
C7 were known; that they are not kept was decided when theirs were.
"""

from collections.abc import Sequence
from dataclasses import replace

from stepladder import EMA, Affine, BlurPool, Budget, Conv, GlobalAvgPool, Ladder, Network, OneCycle
from stepladder.ladders.mnist import b4
from stepladder.spec import Layer


def separable(into: int, channels: int, padding: int = 0) -> list[Layer]:
    """A depthwise convolution, then a 1 x 1 convolution to `channels` (Howard et al. 2017, without the norm between the two)."""
    depthwise = Conv(into, groups=into, padding=padding, norm=None, activation=None)
    return [depthwise, Conv(channels, kernel=1)]


def network(widths: Sequence[int], pool: Layer, early: int = 8) -> Network:
    """Two convolutions of `early` channels, `pool`, then a separable one of each of `widths`, the first padded, and the classes."""
    first, *others = widths
    layers = [Conv(early, padding=1), *separable(early, early, 1), pool, *separable(early, first, 1)]
    for into, channels in zip(widths, others, strict=False):
        layers += separable(into, channels)
    return Network([*layers, Conv(10, kernel=1, activation=None), GlobalAvgPool()])


start = replace(b4, parent=None, target="Where the ladder `mnist` ends.")
cycle = start.then(
    "One-cycle",
    id="C1",
    schedule=OneCycle(peak=0.1),
    target="Ten times the learning rate, and none at the end: learn more in as many epochs, and settle.",
)
undropped = cycle.then(
    "No dropout", id="C2", dropout=0.0, target="A network this small cannot spare activations: let it fit what it can."
)
decayed = undropped.then("Weight decay", id="C3", weight_decay=5e-4, target="Regularise the weights instead.")
turned = decayed.then(
    "Less rotation", id="C4", augmentation=Affine(rotate=10), target="Digits lean less than 15 degrees; spend nothing on the rest."
)
small = turned.then("Smaller batches", id="C5", batch_size=64, target="Twice the steps in as many epochs.")
averaged = small.then(
    "Averaged weights",
    id="C6",
    averaging=EMA(0.995),
    target="Hold 99.4 % in every late epoch, while the learning rate is still high.",
)
longer = averaged.then("Fifteen epochs", id="C7", epochs=15, target="Use the whole budget of epochs.")
smoothed = longer.then(
    "Label smoothing",
    id="C8",
    label_smoothing=0.05,
    kept=False,
    target="Spend nothing on certainty.",
    note="On images kept back 99.46 % (2 runs) against 99.56 % for C7 (3 runs).",
)
separated = longer.then(
    "Separable network",
    id="C9",
    network=network([36] * 5, BlurPool()),
    kept=False,
    target="Twice as many channels for as many parameters, and no aliasing: a mean of 99.60 %.",
    note="On images kept back 32 and 35 channels, with the augmentation of C10, had 99.61 % (3 runs), C7 99.56 % (3 runs).",
)
moved = separated.then(
    "Affine augmentation",
    id="C10",
    augmentation=Affine(rotate=10, shift=1, scale=0.1, shear=10),
    kept=False,
    target="More channels have room for more kinds of digits.",
)

ladder = Ladder(
    "mnist-8k",
    budget=Budget(parameters=8_000, epochs=15, accuracy=0.994),
    steps=[start, cycle, undropped, decayed, turned, small, averaged, longer, smoothed, separated, moved],
)
