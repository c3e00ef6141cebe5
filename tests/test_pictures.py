"""One picture, or many, as levels."""

import os
import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from stepladder.data import DataError
from stepladder.data.pictures import converted, decoded, has_colour, levels, suffixes

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
GREYS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
LUMA = np.asarray(Image.fromarray(COLOURS).convert("L"))


def written(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A grey PNG that claims these sides."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refused(source: Path | bytes, name: str = "x.png") -> str:
    with pytest.raises(DataError) as error:
        levels(source, name)
    return str(error.value)


# Modes


def test_colour_comes_as_it_is() -> None:
    found = levels(written(Image.fromarray(COLOURS)), "x.png", channels=3)
    np.testing.assert_array_equal(found, COLOURS.transpose(2, 0, 1), strict=True)
    assert found.flags.c_contiguous


def test_one_channel_of_colour_is_its_luma() -> None:
    np.testing.assert_array_equal(levels(written(Image.fromarray(COLOURS)), "x.png", channels=1), LUMA[None], strict=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_the_same_in_each_channel(channels: int) -> None:
    found = levels(written(Image.fromarray(GREYS)), "x.png", channels=channels)
    np.testing.assert_array_equal(found, np.stack([GREYS] * channels), strict=True)


def test_a_file_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(written(Image.fromarray(COLOURS)))
    np.testing.assert_array_equal(levels(path, "x"), levels(path.read_bytes(), "x"))


@pytest.mark.parametrize("kind", ["bmp", "gif", "jpeg", "jpeg2000", "mpo", "pcx", "png", "ppm", "qoi", "tiff", "webp"])
def test_each_kind_of_file_is_read(kind: str) -> None:
    found = levels(written(Image.fromarray(np.full((4, 6), 120, np.uint8)).convert("RGB"), kind), "x", channels=1)
    assert found.shape == (1, 4, 6)
    assert abs(found.astype(int) - 120).max() <= 2


def test_black_and_white_is_0_and_255() -> None:
    found = levels(written(Image.fromarray(GREYS > 100)), "x.png", channels=1)
    np.testing.assert_array_equal(found, np.where(GREYS > 100, 255, 0)[None])


def test_a_palette_is_looked_up() -> None:
    image = Image.fromarray((GREYS > 100).astype(np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    found = levels(written(image), "x.png")
    np.testing.assert_array_equal(found[:, 0, 0], [10, 20, 30])
    np.testing.assert_array_equal(found[:, 3, 5], [200, 100, 0])


@pytest.mark.parametrize(("kind", "mode"), [("tiff", "CMYK"), ("tiff", "YCbCr"), ("tiff", "LAB"), ("jpeg", "CMYK")])
def test_other_colours_become_red_green_and_blue(kind: str, mode: str) -> None:
    image = Image.new(mode, (6, 4))  # all zero: no ink, no light
    found = levels(written(image, kind), "x")
    np.testing.assert_array_equal(found[:, 0, 0], np.asarray(image.convert("RGB"))[0, 0])


SHADES = np.array([[0, 1, 128, 129], [257, 4095, 65_407, 65_535]])


@pytest.mark.parametrize(("kind", "dtype"), [("png", np.uint16), ("tiff", np.uint16), ("tiff", np.int32)])
def test_sixteen_bits_are_scaled_by_their_whole_range(kind: str, dtype: type) -> None:
    found = levels(written(Image.fromarray(SHADES.astype(dtype)), kind), "x", channels=1)
    np.testing.assert_array_equal(found, [[[0, 0, 0, 1], [1, 16, 255, 255]]])


def test_sixteen_bits_of_a_portable_greymap_are_scaled_by_its_largest() -> None:
    assert levels(b"P5 2 1 4095\n\x0f\xff\x00\x00", "x.pgm", channels=1).tolist() == [[[255, 0]]]


def test_floats_are_fractions() -> None:
    image = Image.fromarray(np.array([[0, 0.25, 0.5, 1]], np.float32))
    assert levels(written(image, "tiff"), "x.tif", channels=1).tolist() == [[[0, 64, 128, 255]]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 80_000]], np.int32), "its levels (mode I) are from 0 to 80000, expected 0 to 65535"),
        (np.array([[-1, 0]], np.int32), "its levels (mode I) are from -1 to 0, expected 0 to 65535"),
        (np.array([[0, 255]], np.float32), "its levels (mode F) are from 0 to 255, expected 0 to 1"),
        (np.array([[0, np.nan]], np.float32), "its levels (mode F) are from nan to nan, expected 0 to 1"),
    ],
)
def test_levels_of_an_unknown_range_are_refused(values: NDArray[Any], message: str) -> None:
    assert refused(written(Image.fromarray(values), "tiff"), "x.tif") == f"x.tif: {message}"


# Transparency, frames and orientation


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1))  # all black, but
    for x, alpha in enumerate((0, 51, 255)):
        image.putpixel((x, 0), (0, 0, 0, alpha))
    assert levels(written(image.convert(mode)), "x.png", channels=1).tolist() == [[[255, 204, 0]]]


@pytest.mark.parametrize(("mode", "transparent"), [("1", 0), ("L", 0), ("P", 0), ("RGB", (0, 0, 0))])
def test_a_colour_that_stands_for_transparency_is_white(mode: str, transparent: int | tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 1 if mode in ("P", "1") else 9 if mode == "L" else (9, 9, 9))
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    found = levels(written(image, transparency=transparent), "x.png", channels=1)
    assert found.tolist() == [[[255, 255 if mode == "1" else 9]]]


def test_of_several_frames_the_first_is_read() -> None:
    frames = [Image.new("L", (3, 2), level) for level in (50, 100)]
    found = levels(written(frames[0], "gif", save_all=True, append_images=frames[1:]), "x.gif", channels=1)
    assert found.tolist() == [[[50] * 3] * 2]


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_put_upright(kind: str, orientation: int) -> None:
    # What a camera stores when the scene is GREYS: row 0 and column 0 of the file are these sides of it (EXIF 2.32, 4.6.4).
    stored = {
        1: GREYS,
        2: GREYS[:, ::-1],
        3: GREYS[::-1, ::-1],
        4: GREYS[::-1],
        5: GREYS.T,
        6: np.rot90(GREYS, 1),
        7: GREYS[::-1, ::-1].T,
        8: np.rot90(GREYS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = levels(written(Image.fromarray(stored), kind, exif=exif), "x", channels=1)
    np.testing.assert_array_equal(found, GREYS[None], strict=True)


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM"])
def test_damaged_exif_does_not_spoil_a_picture(exif: bytes) -> None:
    raw = written(Image.new("L", (3, 2), 100), "jpeg")
    raw = raw[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + raw[2:]
    assert levels(raw, "x.jpg", channels=1).shape == (1, 2, 3)


# Size


def test_a_size_is_height_and_width() -> None:
    assert levels(written(Image.fromarray(COLOURS)), "x.png", (2, 5)).shape == (3, 2, 5)


def test_shrinking_averages_over_all_pixels() -> None:
    board = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255  # to take every fourth would be all black
    found = levels(written(Image.fromarray(board)), "x.png", (16, 16), 1)
    assert abs(found.astype(int) - 128).max() <= 1


def test_a_jpeg_shrinks_as_the_same_picture_in_another_format_does() -> None:
    smooth = np.add.outer(np.arange(600), np.arange(800)).astype(float) / 1400 * 255
    image = Image.fromarray(smooth.astype(np.uint8))
    photograph = levels(written(image, "jpeg", quality=95), "x.jpg", (30, 40), 1).astype(int)
    assert abs(photograph - levels(written(image), "x.png", (30, 40), 1)).max() <= 2


def test_a_picture_on_its_side_is_turned_before_it_is_resized() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = levels(written(Image.new("L", (400, 200), 7), "jpeg", exif=exif), "x.jpg", channels=1)
    assert found.shape == (1, 400, 200)


# What is no picture


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"]
)
def test_what_is_no_picture_is_named(raw: bytes) -> None:
    assert refused(raw, "notes.txt").startswith("notes.txt: is no picture that can be read, expected AVIF, BMP, GIF, ")


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff", "webp"])
def test_a_truncated_picture_is_named(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8))
    raw = written(noise, kind)
    assert refused(raw[: len(raw) // 2], "half").startswith("half: ")


def test_a_damaged_picture_is_named() -> None:
    raw = written(Image.fromarray(COLOURS))
    place = raw.index(b"IDAT") + 10
    damaged = raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]
    assert refused(damaged, "a/x.png").startswith("a/x.png: damaged picture: ")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "x", "x") == "x: cannot be read: No such file or directory"
    assert refused(tmp_path, "x") == "x: cannot be read: not a regular file"
    assert refused(Path("a\0b"), "x") == "x: cannot be read: embedded null byte"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    assert refused(tmp_path / "x", "x") == "x: cannot be read: not a regular file"


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_memory_is_taken(width: int, height: int) -> None:
    raw = png(width, height, bytes(1 << 20))
    tracemalloc.start()
    try:
        message = refused(raw, "bomb.png")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert message == "bomb.png: claims more pixels than a picture has, expected 89,478,485 at most"


def test_a_side_beyond_65535_is_refused() -> None:
    assert refused(png(70_000, 1, bytes(70_001))) == "x.png: its picture is 1 x 70000, expected sides of 1 to 65535 pixels"


def test_no_warning_is_let_out() -> None:  # they are errors here
    raw = written(Image.fromarray(GREYS), "tiff")
    assert levels(raw + bytes(3), "x.tif", channels=1).shape == (1, 4, 6)
    image = Image.fromarray(GREYS % 4).convert("P")
    assert levels(written(image, transparency=b"\0\1"), "x.png", channels=1).shape == (1, 4, 6)


# Many


def named(*images: NDArray[Any]) -> list[tuple[str, Path | bytes]]:
    return [(f"{k}.png", written(Image.fromarray(image))) for k, image in enumerate(images)]


def test_many_grey_pictures_have_one_channel_whatever_their_modes() -> None:
    found = decoded(named(GREYS, np.stack([GREYS] * 3, -1)), 2)
    np.testing.assert_array_equal(found, np.stack([GREYS[None]] * 2), strict=True)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_picture_with_colour_makes_all_of_three_channels(place: int) -> None:
    pictures = [GREYS, GREYS + 1]
    pictures.insert(place, COLOURS)
    found = decoded(named(*pictures), 3)
    expected = [p.transpose(2, 0, 1) if p.ndim == 3 else np.stack([p] * 3) for p in pictures]
    np.testing.assert_array_equal(found, np.stack(expected), strict=True)
    assert found.flags.c_contiguous


def test_channels_may_be_asked_for() -> None:
    assert decoded(named(GREYS), 1, channels=3).shape == (1, 3, 4, 6)
    np.testing.assert_array_equal(decoded(named(GREYS, COLOURS), 2, channels=1), np.stack([GREYS, LUMA])[:, None])


def test_two_sizes_are_refused_with_both_names() -> None:
    with pytest.raises(DataError) as error:
        decoded(named(GREYS, GREYS, GREYS.T), 3)
    expected = "2.png: its picture is 6 x 4 (height x width), expected 4 x 6 as in 0.png, unless they are resized (--size HxW)"
    assert str(error.value) == expected


def test_two_sizes_are_one_that_is_given() -> None:
    assert decoded(named(GREYS, GREYS.T), 2, (5, 5)).shape == (2, 1, 5, 5)


def test_more_than_memory_holds_is_refused_at_the_first() -> None:
    with pytest.raises(DataError) as error:
        decoded(named(GREYS), 1 << 55)
    expected = "0.png: not enough memory for 36,028,797,018,963,968 pictures of its size (1 x 4 x 6)"
    assert str(error.value) == f"{expected}, unless --size gives a smaller one"


def test_colour_is_seen_in_a_single_pixel() -> None:
    image = np.full((3, 4, 6), 100, np.uint8)
    assert not has_colour(image)
    image[2, 3, 5] = 101
    assert has_colour(image)


def test_suffixes_are_of_what_is_read() -> None:
    assert {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".webp"} <= suffixes()
    assert not {".eps", ".pdf", ".txt", ".mat", ".h5"} & suffixes()


# Arrays


def arrays_of(channels: int) -> st.SearchStrategy[NDArray[np.uint8]]:
    sides = st.integers(1, 9)
    return arrays.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(channels), sides, sides))


@given(images=arrays_of(1) | arrays_of(3), size=st.none() | st.tuples(*[st.integers(1, 9)] * 2), channels=st.sampled_from([1, 3]))
def test_arrays_are_converted_as_pictures_of_them_are(
    images: NDArray[np.uint8], size: tuple[int, int] | None, channels: int
) -> None:
    pictures = [
        Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images
    ]
    expected = np.stack([levels(written(picture), "x", size, channels) for picture in pictures])
    found = converted(images, size, channels)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.flags.c_contiguous


@given(images=arrays_of(1) | arrays_of(3))
def test_arrays_stay_as_they_are_where_nothing_is_asked(images: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(converted(images), images, strict=True)
    np.testing.assert_array_equal(converted(images, images.shape[2:], images.shape[1]), images, strict=True)
