"""Pictures as levels: what Pillow reads becomes eight bits of grey or colour, one picture or a whole data set at a time."""

import stat
import warnings
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from stepladder.data.found import LONGEST_SIDE, DataError

# Not all that Pillow opens: EPS would start Ghostscript, and formats without a mark of their own (TGA) claim what is damaged.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "TIFF", "WEBP")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture upright, by its EXIF orientation."""


@cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """How the names of pictures end, in lower case and with the dot."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats())


def levels(source: Path | bytes, name: str, size: tuple[int, int] | None = None, channels: int = 3) -> NDArray[np.uint8]:
    """A picture (channels, height, width), of a file or its bytes; one channel is grey (ITU-R 601 luma), three are colour.

    The first frame, upright by its EXIF orientation; transparency lies on white, as most viewers show it; 16 bits are scaled by
    their whole range (65535 is 255), and so are floats (1 is 255). With a size (height, width) it is stretched to it by bilinear
    interpolation, over as many pixels as one becomes (no aliasing).

    Raises DataError, and nothing else, which calls the picture by `name`. Its size is refused before its pixels take memory.
    """
    if isinstance(source, bytes):
        return _levels(BytesIO(source), name, size, channels)
    try:
        if not stat.S_ISREG(source.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{name}: cannot be read: not a regular file")
        with source.open("rb") as file:
            return _levels(file, name, size, channels)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _levels(file: Any, name: str, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow finds odd in a picture that it reads all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=formats()) as image:
                return _as_array(_decoded(image, name, size), size, channels)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name}: is no picture that can be read, expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(f"{name}: claims more pixels than a picture has, expected {Image.MAX_IMAGE_PIXELS:,} at most") from None
    except MemoryError:
        raise DataError(f"{name}: cannot be read: not enough memory for what it claims") from None
    except Exception as error:  # Pillow's readers raise what they stumble on: IndexError, struct.error, zlib.error, ...
        raise DataError(f"{name}: damaged picture: {error or type(error).__name__}") from None


def _decoded(image: Image.Image, name: str, size: tuple[int, int] | None) -> Image.Image:
    """The picture upright, as L or RGB; a JPEG that is to shrink may come in an eighth, quarter or half of its size, but no
    less than twice the side asked for."""
    _check_sides(image.size, name)
    if size:
        image.draft("", (2 * max(size), 2 * max(size)))
    image.load()
    _check_sides(image.size, name)  # once more: some readers only then know
    if (orientation := _orientation(image)) in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image, name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _check_sides(sides: tuple[int, int], name: str) -> None:
    if not 0 < min(sides) <= max(sides) <= LONGEST_SIDE:
        raise DataError(f"{name}: its picture is {sides[1]} x {sides[0]}, expected sides of 1 to {LONGEST_SIDE} pixels")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as in viewers, damaged EXIF does not spoil a picture, and it is damaged in as many ways as a picture
        return 1


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    values, most = np.asarray(image), 1 if image.mode == "F" else 65_535
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= most:  # which NaN is not either
        raise DataError(f"{name}: its levels (mode {image.mode}) are from {low:g} to {high:g}, expected 0 to {most}")
    return Image.fromarray(np.rint(values * np.float32(255 / most)).astype(np.uint8))


def _as_array(image: Image.Image, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    if channels == 1:
        image = image.convert("L")
    if size and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    if array.ndim == 2:
        return np.repeat(array[np.newaxis], channels, axis=0)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def decoded(
    pictures: Iterable[tuple[str, Path | bytes]], count: int, size: tuple[int, int] | None = None, channels: int | None = None
) -> NDArray[np.uint8]:
    """So many pictures (n, channels, height, width), each given as its name and its file or bytes; grey where the number of
    channels is left open and no pixel of any has colour, whatever the modes of the files.

    They are decoded one by one into the array that is returned, so that no memory is taken beside it; where the first picture
    with colour comes late, a grey array that is a third of it. Raises DataError for pictures of several sizes, unless one is given.
    """
    images, first = np.empty((0, 0, 0, 0), np.uint8), ""
    for done, (name, source) in enumerate(pictures):
        found = levels(source, name, size, channels or 3)
        if channels is None and not has_colour(found):
            found = found[:1]
        if not done:
            images, first = _room((count, *found.shape), name), name
        if found.shape[1:] != images.shape[2:]:
            sizes = [" x ".join(map(str, shape)) for shape in (found.shape[1:], images.shape[2:])]
            raise DataError(
                f"{name}: its picture is {sizes[0]} (height x width), expected {sizes[1]} as in {first}, "
                f"unless they are resized (--size HxW)"
            )
        if len(found) > images.shape[1]:
            grey, images = images[:done], _room((count, *found.shape), name)
            images[:done] = grey
        images[done] = found
    return images


def has_colour(image: NDArray[np.uint8]) -> bool:
    """Whether any pixel of a picture (3, height, width) is not grey."""
    red, green, blue = image
    return not (np.array_equal(red, green) and np.array_equal(green, blue))


def _room(shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    try:
        return np.empty(shape, np.uint8)
    except (MemoryError, ValueError):
        count, *sides = shape
        raise DataError(
            f"{name}: not enough memory for {count:,} pictures of its size ({' x '.join(map(str, sides))}), "
            f"unless --size gives a smaller one"
        ) from None


def converted(images: NDArray[np.uint8], size: tuple[int, int] | None = None, channels: int | None = None) -> NDArray[np.uint8]:
    """Images (n, 1 or 3 channels, height, width) in another size or number of channels, as `levels` makes them of pictures."""
    held, *sides = images.shape[1:]
    if channels == 1 and held == 3:
        images = _luma(images)
    if size and tuple(sides) != size:
        images = _resized(images, size)
    if channels == 3 and held == 1:
        images = np.repeat(images, 3, axis=1)
    return np.ascontiguousarray(images)


def _luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = _room((len(images), 1, *images.shape[2:]), "the images")
    weights = np.array([19_595, 38_470, 7_471], np.uint32)  # Pillow's, of 65,536
    for k, image in enumerate(images):
        grey[k, 0] = (np.tensordot(weights, image.astype(np.uint32), 1) + 32_768) >> 16
    return grey


def _resized(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    found = _room((*images.shape[:2], *size), "the images")
    for k in np.ndindex(images.shape[:2]):
        found[k] = np.asarray(Image.fromarray(images[k]).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return found
