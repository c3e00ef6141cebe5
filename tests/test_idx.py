import errno
import gzip
import os
import struct
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest
from conftest import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from stepladder.data import DataError
from stepladder.data.idx import TYPES, read_idx
from stepladder.spec import UserError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays.arrays(np.uint8, st.tuples(*[st.integers(0, 5)] * 3)), compressed=st.booleans())
def test_an_array_comes_back_as_written(tmp_path: Path, array: NDArray[np.uint8], compressed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    found = read_idx(path, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array, strict=True)
    assert found.flags.writeable  # torch.from_numpy warns otherwise


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "truncated: it has 0 bytes, expected a header of 16"),
        (idx_bytes(IMAGES)[:3], "truncated: it has 3 bytes, expected a header of 16"),
        (idx_bytes(IMAGES)[:15], "truncated: it has 15 bytes, expected a header of 16"),
        (idx_bytes(IMAGES)[:-1], "truncated: found 23 bytes of data, expected 24 (2 x 3 x 4)"),
        (idx_bytes(IMAGES)[:16], "truncated: found 0 bytes of data, expected 24 (2 x 3 x 4)"),
        (idx_bytes(IMAGES) + b"\0", "longer than its header says: found 25 bytes of data, expected 24 (2 x 3 x 4)"),
        (idx_bytes(np.zeros(20, np.uint8)), "wrong magic number: found 0x00000801, expected 0x00000803"),
        (b"<html>", "wrong magic number: found 0x3c68746d, expected 0x00000803"),
        (struct.pack(">4I", 0x0A03, 1, 1, 1) + bytes(4), "wrong magic number: found 0x00000a03, expected 0x00000803"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_malformed_file_is_refused(tmp_path: Path, raw: bytes, message: str, compressed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    with pytest.raises(DataError) as refused:
        read_idx(path, 3)
    assert str(refused.value) == f"{path}: {message}"


@pytest.mark.parametrize("kept", [2, 12, 20, -8, -1])
def test_a_gzip_stream_cut_short_is_refused_as_truncated(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:kept])
    with pytest.raises(DataError) as refused:
        read_idx(path, 3)
    assert str(refused.value) == f"{path}: truncated: the gzip stream ends before its end marker"


@pytest.mark.parametrize(
    ("at", "found"), [(2, "Unknown compression method"), (-5, "CRC check failed"), (-1, "Incorrect length of data produced")]
)
def test_a_damaged_gzip_stream_is_refused(tmp_path: Path, at: int, found: str) -> None:
    raw = bytearray(gzip.compress(idx_bytes(IMAGES)))
    raw[at] ^= 0xFF
    path = tmp_path / "images.gz"
    path.write_bytes(raw)
    with pytest.raises(DataError) as refused:
        read_idx(path, 3)
    assert str(refused.value).startswith(f"{path}: damaged gzip stream: ")
    assert found in str(refused.value)


def test_what_follows_a_gzip_stream_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)) + b"more")
    with pytest.raises(DataError, match=r"images\.gz: damaged gzip stream: "):
        read_idx(path, 3)


# Headers that claim too much


def gzipped(size: int) -> bytes:
    """So many zero bytes, as members of 16 MiB: a thousandth of their size."""
    member = gzip.compress(bytes(1 << 24))
    return member * (size >> 24) + gzip.compress(bytes(size % (1 << 24)))


def peak(path: Path, message: str) -> int:
    """The most memory in bytes that reading a file of images takes until it is refused with this message."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as refused:
            read_idx(path, 3)
        assert str(refused.value) == f"{path}: {message}"
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "claim"),
    [
        (
            (5_478_275, 28, 28),
            "4,294,967,600 bytes (5478275 x 28 x 28)",
        ),  # the truth: four million bytes that expand to four billion
        ((2**32 - 1, 28, 28), "3,367,254,359,280 bytes (4294967295 x 28 x 28)"),
        ((2**32 - 1,) * 3, "79,228,162,458,924,105,385,300,197,375 bytes (4294967295 x 4294967295 x 4294967295)"),
    ],
)
def test_a_gzip_bomb_is_refused_by_its_header(tmp_path: Path, shape: tuple[int, ...], claim: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x0803, *shape)) + gzipped(5_478_275 * 28 * 28))
    size = path.stat().st_size
    assert size < 4.3e6
    message = f"its header claims {claim}, found {size:,} bytes of gzip, expected no more than 200 times as many"
    assert peak(path, message) < 1 << 20


def test_a_gzip_bomb_behind_a_modest_header_is_left_packed(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x0803, 2, 3, 4)) + gzipped(1 << 32))
    message = "longer than its header says: found at least 65560 bytes of data, expected 24 (2 x 3 x 4)"
    assert peak(path, message) < 1 << 20


def test_images_that_shrink_a_thousandfold_are_read_up_to_64_mib(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x0803, 64, 1024, 1024)) + gzipped(1 << 26))
    assert path.stat().st_size * 900 < 1 << 26
    assert read_idx(path, 3).shape == (64, 1024, 1024)


@pytest.mark.parametrize("shape", [(2**32 - 1, 28, 28), (2**32 - 1,) * 3])
def test_a_plain_file_that_claims_too_much_takes_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4I", 0x0803, *shape) + bytes(10))
    sides = " x ".join(map(str, shape))
    assert peak(path, f"truncated: found 10 bytes of data, expected {prod(shape)} ({sides})") < 1 << 20


def test_a_shape_that_no_array_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4I", 0x0803, 2**32 - 1, 0, 2**32 - 1))
    with pytest.raises(DataError) as refused:
        read_idx(path, 3)
    assert str(refused.value) == f"{path}: no array has the shape that its header claims (4294967295 x 0 x 4294967295)"


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory")
def test_images_that_do_not_fit_into_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    with path.open("wb") as file:
        file.write(struct.pack(">4I", 0x0803, 4, 1 << 15, 1 << 15))
        file.truncate(16 + (1 << 32))  # four gigabytes that take no room on the disk
    code = """
import pathlib, resource, sys
from stepladder.data import DataError
from stepladder.data.idx import TYPES, read_idx
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
try:
    read_idx(pathlib.Path(sys.argv[1]), 3)
except DataError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == (f"{path}: cannot be read: not enough memory for what its header claims\n", "")


# Several members


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 40), max_size=4))
def test_several_gzip_members_are_one_file(tmp_path: Path, cuts: list[int]) -> None:
    raw, ends = idx_bytes(IMAGES), sorted(cuts)
    path = tmp_path / "images.gz"
    path.write_bytes(b"".join(gzip.compress(raw[a:b]) for a, b in pairwise([0, *ends, len(raw)])))
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES, strict=True)


@pytest.mark.parametrize("kept", [2, 12, -8, -1])
def test_a_member_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    raw = idx_bytes(IMAGES)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(raw[:30]) + gzip.compress(raw[30:])[:kept])
    with pytest.raises(DataError, match=r"truncated: the gzip stream ends before its end marker$"):
        read_idx(path, 3)


# Other types of numbers


def typed(code: int, array: NDArray[np.generic]) -> bytes:
    """The array as an IDX file of this type."""
    return struct.pack(f">{1 + array.ndim}I", 256 * code + array.ndim, *array.shape) + array.astype(TYPES[code]).tobytes()


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(24,), (6, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_every_type_and_number_of_dimensions_comes_back(
    tmp_path: Path, code: int, compressed: bool, shape: tuple[int, ...]
) -> None:
    array = (np.arange(24) * 5 - (100 if code in (0x09, 0x0B, 0x0C) else 0)).reshape(shape)
    raw = typed(code, array)
    (tmp_path / "file").write_bytes(gzip.compress(raw) if compressed else raw)
    found = read_idx(tmp_path / "file", len(shape))
    assert found.dtype.isnative
    assert found.dtype == np.dtype(TYPES[code]).newbyteorder("=")
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_one_of_several_numbers_of_dimensions_is_read_and_the_first_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(IMAGES))
    assert read_idx(path, 4, 3).shape == (2, 3, 4)
    with pytest.raises(DataError, match=r"wrong magic number: found 0x00000803, expected 0x00000802$"):
        read_idx(path, 2, 1)


@pytest.mark.parametrize("magic", [0x0A03, 0x0F03, 0x010803, 0x0003])
def test_a_type_that_there_is_not_is_refused(tmp_path: Path, magic: int) -> None:
    (tmp_path / "file").write_bytes(struct.pack(">4I", magic, 1, 1, 1) + bytes(8))
    with pytest.raises(DataError, match=f"wrong magic number: found {magic:#010x}, expected 0x00000803$"):
        read_idx(tmp_path / "file", 3)


def test_the_length_is_that_of_the_type(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(typed(0x0C, IMAGES)[:-1])
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path / "file", 3)
    assert str(refused.value) == (
        f"{tmp_path / 'file'}: truncated: found 95 bytes of data, expected 96 (2 x 3 x 4 numbers of 4 bytes)"
    )


# What is no file of images


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path / "images", 3)
    assert str(refused.value) == f"{tmp_path / 'images'}: file not found"


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path, 3)
    assert str(refused.value) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images")
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path / "images", 3)
    assert str(refused.value) == f"{tmp_path / 'images'}: cannot be read: not a regular file"


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="this system has no devices among its files")
def test_a_device_is_refused() -> None:
    with pytest.raises(DataError, match=f"^{os.devnull}: cannot be read: not a regular file$"):
        read_idx(Path(os.devnull), 3)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: File name too long$"):
        read_idx(tmp_path / ("x" * 300), 3)


def test_what_the_operating_system_refuses_while_reading_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(IMAGES))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)  # a mode would not bind root
    with pytest.raises(DataError) as refused:
        read_idx(path, 3)
    assert str(refused.value) == f"{path}: cannot be read: Permission denied"


def test_data_errors_are_a_users_to_put_right() -> None:
    assert issubclass(DataError, UserError)
