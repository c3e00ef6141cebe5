"""`stepladder new`: a ladder to begin with."""

from pathlib import Path

from stepladder.spec import UserError
from stepladder.steps.step import no_folder

LADDER = '''"""The ladder NAME: what each step is for, and what it was tried against.

    stepladder show NAME.py            the steps, their parameters and epochs
    stepladder run NAME.py --quick     a first look, in about a minute
    stepladder run NAME.py --seeds 8   eight runs of each step: fewer than seven cannot show that a change helps
"""

from stepladder import Affine, Budget, Conv, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step

# Images are 1 x 28 x 28 and of 10 classes, unless a network says otherwise: Network([...], input=(3, 32, 32), classes=4).
# A convolution has no padding, and is followed by batch norm and ReLU unless it says otherwise. The last one has a channel
# for each class, and GlobalAvgPool makes of each channel one number.
small = Network(
    [
        Conv(8),
        Conv(8),
        MaxPool(2),
        Conv(16),
        Conv(16),
        Conv(10, activation=None),
        GlobalAvgPool(),
    ]
)

# The first step says how it is trained. All that a Recipe does not name stays as it is by default.
plain = Step("Plain", network=small, recipe=Recipe(epochs=10), target="See what so small a network can learn.")

# A step after another one changes exactly one thing, so that its effect is that of the change.
rotated = plain.then("Rotation", augmentation=Affine(rotate=10), target="Harder images to learn from, better answers.")

# A step that is tried and not gone on with is measured like any other: kept=False.
dropout = rotated.then("Dropout", dropout=0.05, target="See whether it helps a network this small.", kept=False)

# The budget is a promise. What breaks it is refused before anything is trained. The target is reached where the last step
# that is kept has this test accuracy in each of its last `hold` epochs.
ladder = Ladder(
    "NAME",
    budget=Budget(parameters=8_000, epochs=15, accuracy=0.99, hold=3),
    steps=[plain, rotated, dropout],
)
'''


def write(name: str) -> Path:
    """Write a ladder of three steps as NAME.py; raises UserError for a name that it cannot have, and where there is a file."""
    path = Path(name if name.endswith(".py") else f"{name}.py")
    if reason := no_folder(path.stem):
        raise UserError(f"a ladder cannot be called {path.stem!r}: {reason}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(LADDER.replace("NAME", path.stem))
    except FileExistsError:
        raise UserError(f"{path}: there is such a file already, expected another name") from None
    return path
