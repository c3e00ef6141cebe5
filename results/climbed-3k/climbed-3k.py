"""Tried 26 moves in 161 runs, took 8 while exploring, 3 verified.

A climb towards 99.00% within 3,000 parameters and 15 epochs, from 'Plain network'; its
decisions are in climb.md.
"""

from stepladder import (
    Affine,
    Budget,
    Conv,
    GlobalAvgPool,
    Ladder,
    Linear,
    MaxPool,
    Network,
    OneCycle,
    Recipe,
    Step,
)

plain_network_layers = Network(
    [
        Conv(4, padding=1),
        Conv(4, padding=1),
        MaxPool(),
        Conv(7, padding=1),
        Conv(7, padding=1),
        MaxPool(),
        Conv(10, padding=1),
        Conv(10, padding=1),
        GlobalAvgPool(),
        Linear(10),
    ]
)
separable_convolutions_network = Network(
    [
        Conv(10, padding=1),
        Conv(10, padding=1, groups=10, norm=None, activation=None),
        Conv(10, kernel=1),
        MaxPool(),
        Conv(10, padding=1, groups=10, norm=None, activation=None),
        Conv(18, kernel=1),
        Conv(18, padding=1, groups=18, norm=None, activation=None),
        Conv(18, kernel=1),
        MaxPool(),
        Conv(18, padding=1, groups=18, norm=None, activation=None),
        Conv(25, kernel=1),
        Conv(25, padding=1, groups=25, norm=None, activation=None),
        Conv(25, kernel=1),
        GlobalAvgPool(),
        Linear(10),
    ]
)
one_block_more_at_14_x_14_network = Network(
    [
        Conv(9, padding=1),
        Conv(9, padding=1, groups=9, norm=None, activation=None),
        Conv(9, kernel=1),
        MaxPool(),
        Conv(9, padding=1, groups=9, norm=None, activation=None),
        Conv(16, kernel=1),
        Conv(16, padding=1, groups=16, norm=None, activation=None),
        Conv(16, kernel=1),
        Conv(16, padding=1, groups=16, norm=None, activation=None),
        Conv(16, kernel=1),
        MaxPool(),
        Conv(16, padding=1, groups=16, norm=None, activation=None),
        Conv(23, kernel=1),
        Conv(23, padding=1, groups=23, norm=None, activation=None),
        Conv(23, kernel=1),
        GlobalAvgPool(),
        Linear(10),
    ]
)

plain_network = Step(
    "Plain network",
    network=plain_network_layers,
    recipe=Recipe(epochs=15),
    target=(
        "A network that learns: convolutions and poolings until it sees most of the "
        "image, then the classes."
    ),
)
separable_convolutions = plain_network.then(
    "Separable convolutions",
    network=separable_convolutions_network,
    target=(
        "See each channel in place, then mix them: more channels for as many "
        "parameters."
    ),
    note=(
        "On images kept back, as the ladder stood then, with and without it: +0.356 "
        "points (+0.279 to +0.433) over 5 pairs (seeds 2000 to 2004), log-likelihood "
        "ratio +4.5."
    ),
)
one_cycle_peak_0_02 = separable_convolutions.then(
    "One-cycle, peak 0.02",
    schedule=OneCycle(peak=0.02),
    target=(
        "Twice the learning rate at its peak: learn faster in the middle, and settle."
    ),
    note=(
        "On images kept back, as the ladder stood then, with and without it: +0.569 "
        "points (+0.318 to +0.820) over 10 pairs (seeds 2000 to 2009), log-likelihood "
        "ratio +4.2."
    ),
)
smaller_batches = one_cycle_peak_0_02.then(
    "Smaller batches",
    batch_size=64,
    target="Twice the steps in as many epochs.",
    note=(
        "On images kept back, as the ladder stood then, with and without it: +0.133 "
        "points (+0.095 to +0.171) over 10 pairs (seeds 2000 to 2009), log-likelihood "
        "ratio +4.2."
    ),
)
momentum_0_95 = smaller_batches.then(
    "Momentum 0.95",
    momentum=0.95,
    target="Follow the gradients of other stretches of batches.",
    note=(
        "On images kept back, where it was taken and set back again: +0.059 points "
        "(+0.001 to +0.116) over 21 pairs (seeds 2000 to 2020), log-likelihood ratio "
        "+1.6."
    ),
    kept=False,
)
one_block_more_at_14_x_14 = smaller_batches.then(
    "One block more at 14 x 14",
    network=one_block_more_at_14_x_14_network,
    target="Another layer of patterns while the image is 14 x 14.",
    note=(
        "On images kept back, where it was taken and set back again: +0.048 points "
        "(-0.022 to +0.118) over 16 pairs (seeds 2000 to 2015), log-likelihood ratio "
        "+0.5."
    ),
    kept=False,
)
rotation_up_to_10_degrees = smaller_batches.then(
    "Rotation up to 10 degrees",
    augmentation=Affine(rotate=10),
    target="Images that lean more or less than those there are.",
    note=(
        "On images kept back, where it was taken and set back again: +0.007 points "
        "(-0.045 to +0.060) over 16 pairs (seeds 2000 to 2015), log-likelihood ratio "
        "-2.6."
    ),
    kept=False,
)

ladder = Ladder(
    "climbed-3k",
    budget=Budget(parameters=3_000, epochs=15, accuracy=0.99),
    steps=[
        plain_network,
        separable_convolutions,
        one_cycle_peak_0_02,
        smaller_batches,
        momentum_0_95,
        one_block_more_at_14_x_14,
        rotation_up_to_10_degrees,
    ],
)
