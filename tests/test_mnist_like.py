import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import IDX_NAMES, write_idx_folder
from contract import kept
from numpy.typing import NDArray

from stepladder.data import DataError, emnist
from stepladder.data.found import Found
from stepladder.data.idx import TYPES
from stepladder.data.mnist_like import read

Arrays = list[NDArray[Any]]


@pytest.fixture
def arrays() -> Arrays:
    """Five training and two test images of 3 x 4 pixels, with labels 0 to 2."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (n, 3, 4), np.uint8) for n in (5, 2)]
    return [images[0], np.array([0, 1, 2, 1, 0], np.uint8), images[1], np.array([2, 0], np.uint8)]


def write(folder: Path, files: Mapping[str, NDArray[Any]], code: int = 8) -> Path:
    """IDX files; labels are bytes unless their name says int."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in files.items():
        kind = 12 if "-int" in name else 8 if "labels" in name else code
        raw = struct.pack(f">{1 + array.ndim}I", 256 * kind + array.ndim, *array.shape) + array.astype(TYPES[kind]).tobytes()
        (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return folder


def readable(path: Path) -> Found:
    return kept(read(path))


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


# Names


@pytest.mark.parametrize(
    "names",
    [
        IDX_NAMES,
        [f"{name}.gz" for name in IDX_NAMES],
        [name.replace("-idx", ".idx") for name in IDX_NAMES],
        [f"kmnist-{name.replace('t10k', 'test')}.gz" for name in IDX_NAMES],
        [f"My.Own_{name.replace('t10k', 'Test')}" for name in IDX_NAMES],
    ],
)
def test_names_like_mnists_are_read(tmp_path: Path, arrays: Arrays, names: list[str]) -> None:
    found = readable(write(tmp_path, dict(zip(names, arrays, strict=True))))
    np.testing.assert_array_equal(found.train.images, arrays[0][:, None], strict=True)
    np.testing.assert_array_equal(found.train.labels, arrays[1], strict=True)
    assert found.test
    np.testing.assert_array_equal(found.test.images, arrays[2][:, None], strict=True)
    np.testing.assert_array_equal(found.test.labels, arrays[3], strict=True)
    assert (found.kind, found.validation, found.names, found.remarks) == ("IDX files", None, None, ())


@pytest.mark.parametrize("word", ["valid", "val", "validation"])
def test_a_validation_part_is_read(tmp_path: Path, arrays: Arrays, word: str) -> None:
    write_idx_folder(tmp_path, arrays)
    write(tmp_path, {f"{word}-images-idx3-ubyte": arrays[2][:1], f"{word}-labels-idx1-ubyte": arrays[3][:1]})
    found = readable(tmp_path)
    assert found.validation
    assert found.validation.labels.tolist() == [2]


def test_a_set_may_have_no_test_part(tmp_path: Path, arrays: Arrays) -> None:
    assert readable(write(tmp_path, dict(zip(IDX_NAMES[:2], arrays[:2], strict=True)))).test is None


def test_a_folder_without_such_names_is_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert read(tmp_path) is None
    assert read(tmp_path / "train.csv") is None


@pytest.mark.parametrize("missing", range(4))
@pytest.mark.parametrize("compressed", [False, True])
def test_a_missing_file_is_named(tmp_path: Path, arrays: Arrays, missing: int, compressed: bool) -> None:
    name = IDX_NAMES[missing]
    write_idx_folder(tmp_path, arrays, compressed=compressed)
    (tmp_path / (f"{name}.gz" if compressed else name)).unlink()
    assert refused(tmp_path) == f"{tmp_path / name}: file not found, expected it plain or as {name}.gz"


def test_a_set_of_test_files_alone_lacks_the_training_images(tmp_path: Path, arrays: Arrays) -> None:
    names = ["qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"]
    write(tmp_path, {names[0]: arrays[2], names[1]: np.zeros((2, 8))})
    name = "qmnist-train-images-idx3-ubyte"
    assert refused(tmp_path) == f"{tmp_path / name}: file not found, expected it plain or as {name}.gz"


def test_of_a_file_that_is_there_plain_and_packed_the_plain_one_is_read(tmp_path: Path, arrays: Arrays) -> None:
    write_idx_folder(tmp_path, arrays)
    (tmp_path / f"{IDX_NAMES[0]}.gz").write_bytes(b"damaged")
    np.testing.assert_array_equal(readable(tmp_path).train.images[:, 0], arrays[0])


def test_two_files_of_one_part_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    write_idx_folder(tmp_path, arrays)
    write(tmp_path, {"test-images-idx3-ubyte": arrays[2]})
    assert refused(tmp_path) == (
        f"{tmp_path / 'test-images-idx3-ubyte'}: found {IDX_NAMES[2]} as well, expected one file of test images"
    )


def test_of_several_sets_the_one_of_the_file_is_read(tmp_path: Path, arrays: Arrays) -> None:
    write(tmp_path, {f"a-{name}": array for name, array in zip(IDX_NAMES, arrays, strict=True)})
    write(tmp_path, {f"b-{name}": array[::-1] for name, array in zip(IDX_NAMES, arrays, strict=True)})
    write_idx_folder(tmp_path, arrays)
    assert refused(tmp_path) == (
        f"{tmp_path}: found several sets (one without a name, a, b), expected one, or the path of one set's training images"
    )
    np.testing.assert_array_equal(readable(tmp_path / f"b-{IDX_NAMES[0]}").train.images[:, 0], arrays[0][::-1])


# What does not fit


def test_images_and_labels_exchanged_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    write_idx_folder(tmp_path, [arrays[1], arrays[0], arrays[2], arrays[3]])
    assert refused(tmp_path) == f"{tmp_path / IDX_NAMES[0]}: wrong magic number: found 0x00000801, expected 0x00000803"


@pytest.mark.parametrize(
    ("cut", "labels", "found", "expected", "part", "images"),
    [(1, IDX_NAMES[1], 3, 5, "training", IDX_NAMES[0]), (3, IDX_NAMES[3], 1, 2, "test", IDX_NAMES[2])],
)
def test_counts_that_differ_are_refused(
    tmp_path: Path, arrays: Arrays, cut: int, labels: str, found: int, expected: int, part: str, images: str
) -> None:
    arrays[cut] = arrays[cut][:found]
    assert refused(write_idx_folder(tmp_path, arrays)) == (
        f"{tmp_path / labels}: found {found} labels, expected {expected}, one for each {part} image in {images}"
    )


@pytest.mark.parametrize(("first", "part"), [(0, "training"), (2, "test")])
def test_no_images_are_refused(tmp_path: Path, arrays: Arrays, first: int, part: str) -> None:
    arrays[first], arrays[first + 1] = arrays[first][:0], arrays[first + 1][:0]
    assert refused(write_idx_folder(tmp_path, arrays)) == (
        f"{tmp_path / IDX_NAMES[first]}: found no {part} images, expected at least one"
    )


def test_test_images_of_another_size_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    arrays[2] = arrays[2][:, :2]
    assert refused(write_idx_folder(tmp_path, arrays)) == (
        f"{tmp_path / IDX_NAMES[2]}: its images are 2 x 4, expected 3 x 4 as in {IDX_NAMES[0]}"
    )


@pytest.mark.parametrize("sides", [(0, 4), (3, 0)])
def test_images_without_pixels_are_refused(tmp_path: Path, arrays: Arrays, sides: tuple[int, int]) -> None:
    arrays[0] = np.zeros((5, *sides), np.uint8)
    assert refused(write_idx_folder(tmp_path, arrays)) == (
        f"{tmp_path / IDX_NAMES[0]}: its images are {sides[0]} x {sides[1]}, expected sides of 1 to 65535"
    )


# Other types and dimensions


def test_colour_images_have_four_dimensions(tmp_path: Path, arrays: Arrays) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (5, 3, 4, 3), np.uint8)  # the last side is not taken for channels
    found = readable(write(tmp_path, {"train-images-idx4-ubyte": colour, IDX_NAMES[1]: arrays[1]}))
    np.testing.assert_array_equal(found.train.images, colour, strict=True)


def test_a_number_of_channels_that_is_neither_grey_nor_colour_is_refused(tmp_path: Path, arrays: Arrays) -> None:
    write(tmp_path, {"train-images-idx4-ubyte": np.zeros((5, 2, 4, 4)), IDX_NAMES[1]: arrays[1]})
    assert refused(tmp_path) == (
        f"{tmp_path / 'train-images-idx4-ubyte'}: found images of 2 channels, expected 1 or 3 (n, channels, height, width)"
    )


@pytest.mark.parametrize("code", [0x0B, 0x0C, 0x0D, 0x0E])
def test_whole_numbers_of_every_type_are_levels(tmp_path: Path, arrays: Arrays, code: int) -> None:
    found = readable(write(tmp_path, dict(zip(IDX_NAMES, arrays, strict=True)), code))
    np.testing.assert_array_equal(found.train.images[:, 0], arrays[0])
    assert found.remarks == ()


@pytest.mark.parametrize("code", [0x0D, 0x0E])
def test_fractions_become_levels_and_a_remark_says_so(tmp_path: Path, arrays: Arrays, code: int) -> None:
    files = dict(zip(IDX_NAMES, (arrays[0] / 255, arrays[1], arrays[2] / 255, arrays[3]), strict=True))
    found = readable(write(tmp_path, files, code))
    np.testing.assert_array_equal(found.train.images[:, 0], arrays[0])
    assert found.remarks == tuple(
        f"{tmp_path / IDX_NAMES[k]}: fractions from 0 to 1 were multiplied by 255 and rounded" for k in (0, 2)
    )


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        (0x09, -1, "found int8 values from -1 to 7, expected whole numbers from 0 to 255"),
        (0x0B, 256, "found int16 values from 7 to 256, expected whole numbers from 0 to 255"),
        (0x0C, -70_000, "found int32 values from -70000 to 7, expected whole numbers from 0 to 255"),
        (0x0D, -0.5, "found float32 values from -0.5 to 7, expected whole numbers from 0 to 255 or fractions from 0 to 1"),
        (
            0x0E,
            1.5,
            "found float64 values from 1.5 to 7, not all of them whole, "
            "expected whole numbers from 0 to 255 or fractions from 0 to 1",
        ),
        (0x0D, np.nan, "found float32 values from nan to nan, expected whole numbers from 0 to 255 or fractions from 0 to 1"),
        (0x0E, np.inf, "found float64 values from 7 to inf, expected whole numbers from 0 to 255 or fractions from 0 to 1"),
    ],
)
def test_values_that_are_no_levels_are_refused_with_type_and_range(
    tmp_path: Path, arrays: Arrays, code: int, value: float, message: str
) -> None:
    images = np.full((5, 3, 4), 7.0)
    images[4, 2, 3] = value
    write(tmp_path, {IDX_NAMES[0]: images, IDX_NAMES[1]: arrays[1]}, code)
    assert refused(tmp_path) == f"{tmp_path / IDX_NAMES[0]}: {message}"


def test_qmnists_class_is_the_first_of_eight_columns(tmp_path: Path, arrays: Arrays) -> None:
    table = np.full((5, 8), 1234)
    table[:, 0] = arrays[1]
    write(tmp_path, {"qmnist-train-images-idx3-ubyte.gz": arrays[0], "qmnist-train-labels-idx2-int.gz": table})
    assert readable(tmp_path).train.labels.tolist() == arrays[1].tolist()


@pytest.mark.parametrize(("label", "said"), [(256, "256"), (-1, "-1")])
def test_more_than_256_classes_are_refused(tmp_path: Path, arrays: Arrays, label: int, said: str) -> None:
    labels = arrays[1].astype(int)
    labels[3] = label
    name = "train-labels-idx1-int"
    write(tmp_path, {IDX_NAMES[0]: arrays[0], name: labels})
    assert refused(tmp_path) == (
        f"{tmp_path / name}: label 3 is {said}, expected a whole number from 0 to 255: at most 256 classes are possible"
    )


# EMNIST


def emnist_folder(folder: Path, name: str, arrays: Arrays, first: int = 0) -> Path:
    """A set as EMNIST has it: images on their side."""
    files = {}
    for part, images, labels in (("train", arrays[0], arrays[1]), ("test", arrays[2], arrays[3])):
        files[f"emnist-{name}-{part}-images-idx3-ubyte.gz"] = images.transpose(0, 2, 1)
        files[f"emnist-{name}-{part}-labels-idx1-ubyte.gz"] = labels + first
    return write(folder, files)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("balanced", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("byclass", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("bymerge", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("digits", "0123456789"),
        ("letters", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("mnist", "0123456789"),
    ],
)
def test_emnists_images_are_upright_and_its_classes_named(tmp_path: Path, arrays: Arrays, name: str, classes: str) -> None:
    found = readable(emnist_folder(tmp_path, name, arrays, first=int(name == "letters")))
    assert found.test
    np.testing.assert_array_equal(found.train.images[:, 0], arrays[0])
    np.testing.assert_array_equal(found.test.images[:, 0], arrays[2])
    assert found.train.labels.tolist() == arrays[1].tolist()
    assert found.names == tuple(classes)
    assert found.kind == f"EMNIST {name}, IDX files"
    assert found.remarks == (emnist.REMARK,)


@pytest.mark.parametrize(("name", "first", "last", "wrong"), [("letters", 1, 26, 0), ("letters", 1, 26, 27), ("digits", 0, 9, 10)])
def test_a_label_that_the_set_has_not_is_refused(
    tmp_path: Path, arrays: Arrays, name: str, first: int, last: int, wrong: int
) -> None:
    arrays[1] = np.array([1, 2, 3, wrong, 1])
    path = emnist_folder(tmp_path, name, arrays) / f"emnist-{name}-train-labels-idx1-ubyte.gz"
    assert refused(tmp_path) == f"{path}: label out of range: label 3 is {wrong}, expected {first} to {last} ({name})"


def test_columns_of_labels_are_no_numbers_of_letters(tmp_path: Path, arrays: Arrays) -> None:
    arrays[1] = np.arange(15, dtype=np.uint8).reshape(5, 3)
    path = emnist_folder(tmp_path, "letters", arrays) / "emnist-letters-train-labels-idx1-ubyte.gz"
    assert refused(tmp_path) == f"{path}: found 3 columns, expected one class for each image, or one-hot rows"


def test_the_six_sets_of_emnists_folder_are_listed_and_one_is_read_by_its_file(tmp_path: Path, arrays: Arrays) -> None:
    for name in emnist.CLASSES:
        emnist_folder(tmp_path, name, arrays, first=1)
    assert refused(tmp_path) == (
        f"{tmp_path}: found several sets (emnist-balanced, emnist-byclass, emnist-bymerge, emnist-digits, emnist-letters, "
        "emnist-mnist), expected one, or the path of one set's training images"
    )
    assert readable(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").kind == "EMNIST letters, IDX files"
