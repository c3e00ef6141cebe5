"""Nine steps towards 99.4 % on MNIST with fewer than 10,000 parameters, then fewer than 8,000.

After a student's README that documents the climb as Target / Result / Analysis. Its text gives totals of parameters,
not widths; these widths give exactly those totals.
"""

from stepladder import Affine, Budget, Conv, GlobalAvgPool, Ladder, Linear, MaxPool, Network, Step, StepLR

skeleton = Network([Conv(14), Conv(7), MaxPool(2), Conv(20), Conv(14), Conv(19), Conv(14), GlobalAvgPool(), Linear(10)])
a = Network([Conv(14), Conv(7), MaxPool(2), Conv(20), Conv(14), Conv(19), Conv(10, activation=None), GlobalAvgPool()])
b = Network(
    [
        *(Conv(6, padding=1), Conv(6, padding=1), MaxPool(2)),
        *(Conv(18), Conv(13), Conv(13), Conv(13), Conv(10, activation=None), GlobalAvgPool()),
    ]
)
rotation = Affine(rotate=15)
decay = StepLR(every=6, factor=0.1)

root = Step(
    "Skeleton",
    id="0",
    network=skeleton,
    target="A network that learns: convolutions, global average pooling and a fully connected layer within the budget.",
)
a1 = root.then(
    "Remove the fully connected layer",
    id="A1",
    network=a,
    target="Let the last convolution answer; the same accuracy with fewer parameters.",
)
a2 = a1.then("Dropout", id="A2", dropout=0.043, target="Close the gap between train and test accuracy.")
a3 = a2.then("Rotation", id="A3", augmentation=rotation, target="Harder training images, higher test accuracy.")
a4 = a3.then("Step decay", id="A4", schedule=decay, target="Calm the late epochs, so that 99.4 % holds.")

b1 = root.then("Fewer parameters", id="B1", network=b, target="Come close with fewer than 8,000 parameters.")
b2 = b1.then("Dropout", id="B2", dropout=0.05, target="Close the gap between train and test accuracy.")
b3 = b2.then("Rotation", id="B3", augmentation=rotation, target="Harder training images, higher test accuracy.")
b4 = b3.then("Step decay", id="B4", schedule=decay, target="99.4 % held in the late epochs, under 8,000 parameters.")

ladder = Ladder(
    "mnist",
    budget=Budget(parameters=10_000, epochs=15, accuracy=0.994),
    steps=[root, a1, a2, a3, a4, b1, b2, b3, b4],
)
