"""The pictures of a page, each written once however often it is shown, and never more of them than a page should hold."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST = 3_000_000
"""So many characters all pictures of a page have at most, whatever their size and number."""
SHARP = 64
"""Images of more pixels a side are shown smaller, and lossy."""
SIDE = 112
"""The longer side of those, in pixels: twice what the page shows them in."""


def album(
    wanted: Iterable[Sequence[int]], images: NDArray[np.uint8], *, inverted: bool = False, most: int = MOST
) -> dict[int, str]:
    """The pictures, as data URIs, of the test images that galleries want, by index: the first of every gallery, then the second of
    every one, and so on, as long as there is room."""
    found, room = dict[int, str](), most
    for several in zip_longest(*wanted):
        for index in several:
            if index is None or index in found:
                continue
            picture = data_uri(images[index], inverted=inverted)
            if (room := room - len(picture)) < 0:
                return found
            found[index] = picture
    return found


def shown(indices: Iterable[int], pictures: Mapping[int, str]) -> int:
    """How many of these images, from the first on, have a picture."""
    count = 0
    for index in indices:
        if index not in pictures:
            break
        count += 1
    return count


def data_uri(levels: NDArray[np.uint8], *, inverted: bool = False) -> str:
    """A picture of levels (1 or 3 channels, height, width), inverted where they are ink on black, so that the page shows it on
    white; the page enlarges it without smoothing. Lossless where it is small."""
    levels = 255 - levels if inverted else levels
    picture = Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, 2).copy())
    small, written = max(picture.size) <= SHARP, BytesIO()
    if small:
        picture.save(written, "png", optimize=True)
    else:
        picture.thumbnail((SIDE, SIDE))
        picture.save(written, "jpeg", quality=80)
    return f"data:image/{'png' if small else 'jpeg'};base64,{b64encode(written.getvalue()).decode()}"
