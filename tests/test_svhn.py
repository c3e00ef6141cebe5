"""SVHN's MATLAB files."""

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from stepladder.data import DataError
from stepladder.data.svhn import read

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 3, 32, 32)).astype(np.uint8)
LABELS = np.array([1, 10, 2, 3, 4, 5, 6, 7, 8, 9, 10], np.uint8)


def write(path: Path, images: NDArray[Any] = IMAGES, labels: NDArray[Any] = LABELS, **options: Any) -> Path:
    """A file of images (n, channels, height, width) and labels."""
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": labels[:, None]}, **{"do_compression": True, **options})
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_ten_is_the_digit_zero(tmp_path: Path, compressed: bool, dtype: type) -> None:
    write(tmp_path / "train_32x32.mat", do_compression=compressed, labels=LABELS.astype(dtype))
    write(tmp_path / "test_32x32.mat", IMAGES[:2], LABELS[:2])
    for path in (tmp_path, tmp_path / "train_32x32.mat"):
        found = read(path)
        assert found is not None
        assert found.test is not None
        assert (found.kind, found.validation, found.remarks) == ("SVHN", None, ())
        assert found.names == tuple("0123456789")
        np.testing.assert_array_equal(found.train.images, IMAGES, strict=True)
        np.testing.assert_array_equal(found.train.labels, np.array([1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 0], np.uint8), strict=True)
        np.testing.assert_array_equal(found.test.images, IMAGES[:2], strict=True)
        assert found.test.labels.tolist() == [1, 0]
        assert found.train.images.flags.c_contiguous
        assert found.train.images.flags.writeable


def test_a_single_image_is_read(tmp_path: Path) -> None:
    write(tmp_path / "train_32x32.mat", IMAGES[:1], LABELS[:1])
    savemat(tmp_path / "test_32x32.mat", {"X": IMAGES[0].transpose(1, 2, 0), "y": 10})
    found = read(tmp_path)
    assert found is not None
    assert found.test is not None
    np.testing.assert_array_equal(found.test.images, IMAGES[:1], strict=True)
    assert found.test.labels.tolist() == [0]


def test_without_test_there_is_training_alone_and_the_extra_part_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "train_32x32.mat")
    (tmp_path / "extra_32x32.mat").touch()
    found = read(tmp_path)
    assert found is not None
    assert found.test is None
    assert found.remarks == ("passed over extra_32x32.mat",)


def test_without_train_the_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "test_32x32.mat")
    assert refused(tmp_path) == f"{tmp_path / 'train_32x32.mat'}: file not found"


def test_what_has_other_names_is_another_format(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(write(tmp_path / "digits.mat")) is None
    assert read(tmp_path / "train_32x32.mat") is None
    assert read(Path("a\0b")) is None


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").mkdir()
    assert refused(tmp_path) == f"{tmp_path / 'train_32x32.mat'}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:3], "found 3 labels, expected 11, one for each image"),
        (IMAGES, LABELS * 2, "label out of range: label 1 is 20, expected 1 to 10, of which 10 is digit 0"),
        (IMAGES, LABELS * 1.5, "label out of range: label 0 is 1.5, expected 1 to 10, of which 10 is digit 0"),
        (IMAGES, LABELS % 10, "label out of range: label 1 is 0, expected 1 to 10, of which 10 is digit 0"),
        (IMAGES[:, :2], LABELS, "found X of 32 x 32 x 2 x 11, expected height x width x 3 channels x images, at least one"),
        (IMAGES[:0], LABELS, "found X of 32 x 32 x 3 x 0, expected height x width x 3 channels x images, at least one"),
        (IMAGES / 255, LABELS, "found float64 under X, expected images of uint8"),
        (IMAGES, np.array(["a"]), "found something else under y, expected labels as numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, images: NDArray[Any], labels: NDArray[Any], message: str) -> None:
    path = write(tmp_path / "train_32x32.mat", images, labels)
    assert refused(tmp_path) == f"{path}: {message}"


def test_parts_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train_32x32.mat")
    path = write(tmp_path / "test_32x32.mat", IMAGES[:, :1])
    assert refused(tmp_path) == f"{path}: its images are 1 x 32 x 32, expected 3 x 32 x 32 as in train_32x32.mat"


def test_a_file_without_its_arrays_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "train_32x32.mat", {"images": IMAGES})
    assert refused(tmp_path) == f"{tmp_path / 'train_32x32.mat'}: found none under X, expected images of uint8"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(600), "found a MATLAB file of version 7.3 (HDF5), expected version 5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "found a MATLAB file of version 7.3 (HDF5), expected version 5"),
        (b"", "found no MATLAB file of version 5"),
        (b"hello" * 100, "found no MATLAB file of version 5"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "train_32x32.mat").write_bytes(raw)
    assert refused(tmp_path).startswith(f"{tmp_path / 'train_32x32.mat'}: {message}")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train_32x32.mat")
    raw = path.read_bytes()
    path.write_bytes(raw[:5000])
    assert refused(tmp_path).startswith(f"{path}: truncated: a variable is to end at byte ")
    path.write_bytes(raw[:4000] + bytes([raw[4000] ^ 255]) + raw[4001:])
    assert refused(tmp_path).startswith(f"{path}: damaged MATLAB file: ")


# Files that claim too much


def peak(path: Path, message: str) -> int:
    tracemalloc.start()
    try:
        assert refused(path) == message
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def variable(shape: tuple[int, ...], name: bytes = b"X") -> bytes:
    """The start of an array of unsigned bytes, up to its numbers."""
    inner = struct.pack("<4I", 6, 8, 9, 0) + struct.pack(f"<2I{len(shape)}i", 5, 4 * len(shape), *shape)
    return inner + bytes(-len(inner) % 8) + struct.pack("<2I", 1, 1) + name.ljust(8, b"\0")


HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def test_a_header_that_claims_four_billion_images_takes_no_memory(tmp_path: Path) -> None:
    inner = variable((32, 32, 3, 2**31 - 1)) + struct.pack("<2I", 2, 100) + bytes(104)
    packed = zlib.compress(struct.pack("<2I", 14, len(inner)) + inner)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(HEAD + struct.pack("<2I", 15, len(packed)) + packed)
    message = f"{path}: damaged MATLAB file: X has 100 numbers, its sides say 32 x 32 x 3 x 2147483647"
    assert peak(tmp_path, message) < 1 << 20


def test_a_bomb_is_left_packed(tmp_path: Path) -> None:
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(HEAD + struct.pack("<2I", 15, len(packed)) + packed)
    size = path.stat().st_size
    message = f"{path}: expands to more than 67,108,864 bytes, found {size:,}, expected no more than 200 times as many"
    assert peak(tmp_path, message) < 1 << 23
