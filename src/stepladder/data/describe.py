"""What a data set holds, for those who look before they train."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stepladder.data.found import Found, Part

EACH = 10
"""So many images of a class are on a contact sheet."""
_SIDE = 48
"""Smaller images are enlarged, in whole numbers, to at least so many pixels."""
_GAP = 4


class Twin(NamedTuple):
    """A test image that is a training image as well, pixel for pixel: their places, and their labels."""

    test: int
    train: int
    test_label: int
    train_label: int


def describe(found: Found) -> dict[str, Any]:
    """What a source holds, as data: its kind, the images' (channels, height, width), the images of each class in each part, and
    the test images that are training images as well."""
    parts = {name: part for name in ("train", "validation", "test") if (part := getattr(found, name)) is not None}
    names = class_names(found)
    return {
        "kind": found.kind,
        "input": list(found.train.images.shape[1:]),
        "classes": list(names),
        "images": {name: len(part.labels) for name, part in parts.items()},
        "counts": {name: np.bincount(part.labels, minlength=len(names)).tolist() for name, part in parts.items()},
        "duplicates": [twin._asdict() for twin in twins(found.train, found.test)] if found.test else [],
        "remarks": list(found.remarks),
    }


def class_names(found: Found) -> tuple[str, ...]:
    """The names of the classes; of those that are only numbered, all numbers up to the largest label."""
    labels = [part.labels for part in (found.train, found.test, found.validation) if part]
    return found.names or tuple(map(str, range(1 + max(int(part.max()) for part in labels))))


def twins(train: Part, test: Part) -> list[Twin]:
    """The test images that are training images as well, each with the first such one."""
    first: dict[bytes, int] = {}
    for place, image in enumerate(train.images):
        first.setdefault(_hash(image), place)
    places = [(place, first.get(_hash(image))) for place, image in enumerate(test.images)]
    return [
        Twin(place, twin, int(test.labels[place]), int(train.labels[twin])) for place, twin in places if twin is not None
    ]  # fmt: skip


def contact_sheet(part: Part, names: tuple[str, ...]) -> Image.Image:
    """The first ten images of each class, a row for each."""
    _, channels, height, width = part.images.shape
    scale = max(1, -(-_SIDE // min(height, width)))
    tall, wide = max(height * scale, 16) + _GAP, width * scale + _GAP
    font = ImageFont.load_default(14)
    left = _GAP + max(int(font.getlength(name)) for name in names) + 2 * _GAP
    sheet = Image.new("L" if channels == 1 else "RGB", (left + EACH * wide, _GAP + len(names) * tall), "white")
    pen = ImageDraw.Draw(sheet)
    for label, name in enumerate(names):
        top = _GAP + label * tall
        pen.text((_GAP, top + tall // 2), name, "black", font, anchor="lm")
        for column, place in enumerate(np.flatnonzero(part.labels == label)[:EACH]):
            image = Image.fromarray(_last(part.images[place]))
            sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), (left + column * wide, top))
    return sheet


def _hash(image: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _last(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(channels, height, width) as Pillow takes it."""
    return image[0] if len(image) == 1 else np.ascontiguousarray(np.moveaxis(image, 0, 2))
