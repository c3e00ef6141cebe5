import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from stepladder.page.pictures import SIDE, album, data_uri

NOISE = np.random.default_rng(0).integers(0, 256, (6, 3, 200, 160), np.uint8)


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_is_as_it_was(channels: int) -> None:
    levels = NOISE[0, :channels, :28, :32]
    found = np.asarray(opened(data_uri(levels)))
    assert np.array_equal(found if channels == 1 else np.moveaxis(found, 2, 0), levels[0] if channels == 1 else levels)
    assert np.array_equal(np.asarray(opened(data_uri(levels[:1], inverted=True))), 255 - levels[0])


def test_a_large_image_is_made_smaller() -> None:
    assert opened(data_uri(NOISE[0])).size == (round(160 * SIDE / 200), SIDE)


def test_pictures_are_taken_from_all_galleries_in_turn_as_long_as_there_is_room() -> None:
    one, two = [0, 1, 2], [3, 1, 4]
    whole = album([one, two], NOISE)
    assert list(whole) == [0, 3, 1, 2, 4]
    assert list(album([one, two], NOISE, most=sum(map(len, whole.values())))) == list(whole)
    assert list(album([one, two], NOISE, most=sum(map(len, whole.values())) - 1)) == [0, 3, 1, 2]
    assert album([one, two], NOISE, most=0) == {}
