import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from stepladder.idx import DataError, read_idx
from stepladder.spec import UserError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays.arrays(np.uint8, st.tuples(*[st.integers(0, 5)] * 3)), compressed=st.booleans())
def test_an_array_comes_back_as_written(tmp_path: Path, array: NDArray[np.uint8], compressed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))
    found = read_idx(path, dimensions=3)
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
        (struct.pack(">4I", 0x0D03, 1, 1, 1) + bytes(4), "wrong magic number: found 0x00000d03, expected 0x00000803"),
        (
            struct.pack(">4I", 0x0803, *[2**32 - 1] * 3),
            "truncated: found 0 bytes of data, expected 79228162458924105385300197375 (4294967295 x 4294967295 x 4294967295)",
        ),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_malformed_file_is_refused(tmp_path: Path, raw: bytes, message: str, compressed: bool) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    with pytest.raises(DataError) as refused:
        read_idx(path, dimensions=3)
    assert str(refused.value) == f"{path}: {message}"


@pytest.mark.parametrize("kept", [2, 12, 20, -8, -1])
def test_a_gzip_stream_cut_short_is_refused_as_truncated(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:kept])
    with pytest.raises(DataError) as refused:
        read_idx(path, dimensions=3)
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
        read_idx(path, dimensions=3)
    assert str(refused.value).startswith(f"{path}: damaged gzip stream: ")
    assert found in str(refused.value)


def test_what_follows_a_gzip_stream_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)) + b"more")
    with pytest.raises(DataError, match=r"images\.gz: damaged gzip stream: "):
        read_idx(path, dimensions=3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path / "images", dimensions=3)
    assert str(refused.value) == f"{tmp_path / 'images'}: file not found"


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_idx(tmp_path, dimensions=3)
    assert str(refused.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_data_errors_are_a_users_to_put_right() -> None:
    assert issubclass(DataError, UserError)
