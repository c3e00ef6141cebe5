import io
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import kept
from numpy.typing import NDArray

from stepladder.data import DataError
from stepladder.data.archive import read
from stepladder.data.found import Found

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.integers(0, 256, (5, 4, 6), np.uint8), np.array([0, 1, 2, 1, 0])
TEST_X, TEST_Y = RANDOM.integers(0, 256, (2, 4, 6), np.uint8), np.array([2, 0])


def save(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def readable(path: Path) -> Found:
    return kept(read(path))


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


# Names


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("x_train", "y_train", "x_test", "y_test"), "Keras archive"),
        (("train_images", "train_labels", "test_images", "test_labels"), "MedMNIST archive"),
        (("X_train", "Y_train", "X_test", "Y_test"), "NumPy arrays"),
        (("xtrain", "ytrain", "testX", "testY"), "NumPy arrays"),
        (("training-data", "training-targets", "test.data", "test.target"), "NumPy arrays"),
        (("images", "labels", "t10k_images", "t10k_labels"), "NumPy arrays"),
    ],
)
def test_the_names_of_arrays_say_what_they_are(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    path = save(tmp_path / "set.npz", **dict(zip(names, (X, Y, TEST_X, TEST_Y), strict=True)))
    found = readable(path)
    np.testing.assert_array_equal(found.train.images, X[:, None], strict=True)
    np.testing.assert_array_equal(found.train.labels, Y)
    assert found.test
    np.testing.assert_array_equal(found.test.images, TEST_X[:, None], strict=True)
    np.testing.assert_array_equal(found.test.labels, TEST_Y)
    assert (found.kind, found.names, found.remarks, found.validation) == (kind, None, (), None)


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("data", "target"), ("images", "labels"), ("img", "targets")])
def test_arrays_of_no_part_are_for_training(tmp_path: Path, names: tuple[str, str]) -> None:
    found = readable(save(tmp_path / "set.npz", **dict(zip(names, (X, Y), strict=True))))
    assert found.train.labels.tolist() == Y.tolist()
    assert found.test is None


def test_medmnists_validation_part_and_columns_of_labels_are_read(tmp_path: Path) -> None:
    parts = {"train": (X, Y), "val": (X[:3], Y[:3]), "test": (TEST_X, TEST_Y)}
    arrays = {f"{part}_images": images for part, (images, _) in parts.items()}
    arrays |= {f"{part}_labels": labels[:, None] for part, (_, labels) in parts.items()}
    found = readable(save(tmp_path / "medmnist.npz", **arrays))
    assert found.validation
    assert found.validation.labels.tolist() == Y[:3].tolist()
    assert found.train.labels.tolist() == Y.tolist()


def test_a_folder_of_archives_with_nameless_arrays_is_read_by_their_file_names(tmp_path: Path) -> None:
    for name, array in {"train-imgs": X, "train-labels": Y, "test-imgs": TEST_X, "test-labels": TEST_Y}.items():
        np.savez_compressed(tmp_path / f"kmnist-{name}.npz", array)
    found = readable(tmp_path)
    np.testing.assert_array_equal(found.train.images[:, 0], X)
    assert found.test
    assert found.test.labels.tolist() == TEST_Y.tolist()


def test_one_nameless_array_of_several_sets_stands_for_its_set(tmp_path: Path) -> None:
    for kind, shift in (("k49", 1), ("kmnist", 0)):
        for name, array in {"train-imgs": X, "train-labels": Y + shift, "test-imgs": TEST_X, "test-labels": TEST_Y}.items():
            np.savez_compressed(tmp_path / f"{kind}-{name}.npz", array)
    found = readable(tmp_path / "k49-train-imgs.npz")
    assert found.train.labels.tolist() == (Y + 1).tolist()
    assert found.test
    np.save(tmp_path / "X_train.npy", X)
    np.save(tmp_path / "y_train.npy", Y)
    assert readable(tmp_path / "X_train.npy").train.labels.tolist() == Y.tolist()


def test_a_folder_of_single_arrays_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x_train.npy", X)
    np.save(tmp_path / "y_train.npy", Y)
    found = readable(tmp_path)
    np.testing.assert_array_equal(found.train.images[:, 0], X)
    assert found.kind == "Keras archive"


def test_a_folder_of_an_archive_for_each_part_is_read(tmp_path: Path) -> None:
    save(tmp_path / "train.npz", x=X, y=Y)
    save(tmp_path / "test.npz", x=TEST_X, y=TEST_Y)
    found = readable(tmp_path)
    assert found.test
    assert (len(found.train.labels), len(found.test.labels)) == (5, 2)


def test_a_folder_with_one_archive_is_that_archive(tmp_path: Path) -> None:
    save(tmp_path / "mnist.npz", x_train=X, y_train=Y)
    (tmp_path / "README.md").touch()
    np.testing.assert_array_equal(readable(tmp_path).train.images[:, 0], X)


def test_other_arrays_are_passed_over_and_a_remark_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=X, y=Y, mean=np.zeros(3), label_names=np.array(["a", "b"]))
    assert readable(path).remarks == (f"{path}: mean, label_names passed over",)


def test_test_images_without_labels_are_passed_over_and_a_remark_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=TEST_X)
    found = readable(path)
    assert found.test is None
    assert found.remarks == (f"{path}: x_test: passed over, there are no labels for it",)


EXPECTED = "expected x_train and y_train, train_images and train_labels, or images and labels"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("x_train",), "found no training labels beside x_train"),
        (("x_train", "y_train", "x_val"), "found no validation labels beside x_val"),
        (("x_test", "y_test"), "found no training images"),
        (("x_test", "y_train", "y_test"), "found no training images beside y_train"),
        (("a", "b"), "found a, b"),
    ],
)
def test_arrays_that_are_missing_are_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    path = save(tmp_path / "set.npz", **{name: X if name[0] == "x" else Y for name in names})
    assert refused(path) == f"{path}: {message}, {EXPECTED}"


def test_several_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("blood", "path"):
        save(tmp_path / f"{name}mnist.npz", train_images=X, train_labels=Y)
    assert refused(tmp_path) == (
        f"{tmp_path}: found 2 arrays of training images (bloodmnist_train_images, pathmnist_train_images), "
        "expected one: give the path of one set"
    )


def test_what_holds_no_arrays_is_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert read(tmp_path) is None
    assert read(tmp_path / "a.csv") is None
    np.save(tmp_path / "weights.npy", X)
    assert read(tmp_path) is None


# Shapes


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 4, 6), (1, 4, 6)),
        ((5, 4, 6, 1), (1, 4, 6)),
        ((5, 4, 6, 3), (3, 4, 6)),
        ((5, 1, 4, 6), (1, 4, 6)),
        ((5, 3, 4, 6), (3, 4, 6)),
        ((5, 4, 3), (1, 4, 3)),
        ((5, 49), (1, 7, 7)),
    ],
)
def test_every_layout_of_images_is_read(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = RANDOM.integers(0, 256, shape, np.uint8)
    found = readable(save(tmp_path / "set.npz", x=x, y=Y))
    last = len(shape) == 4 and shape[3] in (1, 3)
    np.testing.assert_array_equal(found.train.images, (x.transpose(0, 3, 1, 2) if last else x).reshape(5, *expected))
    assert found.remarks == ()


def test_where_two_axes_may_be_channels_the_last_is_and_a_remark_says_so(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 256, (5, 3, 8, 3), np.uint8)
    path = save(tmp_path / "set.npz", x=x, y=Y)
    found = readable(path)
    np.testing.assert_array_equal(found.train.images, x.transpose(0, 3, 1, 2))
    assert found.remarks == (f"{path}: x: the last axis of 5 x 3 x 8 x 3 was taken as channels, not the second",)


def test_colour_rows_are_pixel_by_pixel_and_a_remark_says_so(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 256, (5, 4, 4, 3), np.uint8)
    path = save(tmp_path / "set.npz", x=x.reshape(5, -1), y=Y)
    found = readable(path)
    np.testing.assert_array_equal(found.train.images, x.transpose(0, 3, 1, 2))
    assert found.remarks == (f"{path}: x: its 48 columns were taken as red, green and blue of each pixel in turn",)


@pytest.mark.parametrize("shape", [(5, 4, 6, 4), (5, 2, 4, 6), (5,), (5, 50), (5, 3, 3, 3, 3), (5, 28, 28, 28)])
def test_shapes_that_no_images_have_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "set.npz", x=np.zeros(shape, np.uint8), y=Y)
    assert refused(path) == (
        f"{path}: x: found an array of {' x '.join(map(str, shape))}, expected images (n, height, width), "
        "(n, height, width, channels) or (n, channels, height, width) with 1 or 3 channels"
    )


def test_parts_of_other_sizes_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=TEST_X[:, 1:], y_test=TEST_Y)
    assert refused(path) == f"{path}: x_test: its images are 3 x 6, expected 4 x 6 as in x_train"
    path = save(tmp_path / "set.npz", x_train=X, y_train=Y, x_test=TEST_X[..., None].repeat(3, 3), y_test=TEST_Y)
    assert refused(path) == f"{path}: x_test: its images are 3 x 4 x 6, expected 1 x 4 x 6 as in x_train"


def test_arrays_by_columns_and_of_the_other_byte_order_are_read(tmp_path: Path) -> None:
    found = readable(save(tmp_path / "set.npz", x=np.asfortranarray(X.astype(">i4")), y=Y.astype(">u2")))
    np.testing.assert_array_equal(found.train.images[:, 0], X)
    assert found.train.labels.tolist() == Y.tolist()


# Values


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_fractions_become_levels(tmp_path: Path, dtype: str) -> None:
    found = readable(save(tmp_path / "set.npz", x=(X / 255).astype(dtype), y=Y))
    np.testing.assert_array_equal(found.train.images[:, 0], X)


def test_a_part_of_black_and_white_fractions_is_scaled_as_the_others_are(tmp_path: Path) -> None:
    x, test = np.full((5, 4, 6), 2.0), np.ones((2, 4, 6))
    found = readable(save(tmp_path / "whole.npz", x_train=x, y_train=Y, x_test=test, y_test=TEST_Y))
    assert found.test
    assert (found.test.images.max(), found.remarks) == (1, ())
    found = readable(save(tmp_path / "fractions.npz", x_train=x / 4, y_train=Y, x_test=test, y_test=TEST_Y))
    assert found.test
    assert (found.train.images.max(), found.test.images.max()) == (128, 255)


def test_truth_values_are_black_and_white(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=X > 100, y=Y)
    found = readable(path)
    np.testing.assert_array_equal(found.train.images[:, 0], np.where(X > 100, 255, 0))
    assert found.remarks == (f"{path}: x: True became 255",)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X.astype(np.uint16) * 257, "found uint16 values from"),
        ((X - 127.5) / 127.5, "found float64 values from -"),
        (X.astype(complex), "found values of type complex128, expected numbers from 0 to 255"),
        (X.astype(str), "found values of type <U3, expected numbers from 0 to 255"),
    ],
)
def test_values_that_are_no_levels_are_refused(tmp_path: Path, x: NDArray[Any], message: str) -> None:
    path = save(tmp_path / "set.npz", x=x, y=Y)
    assert refused(path).startswith(f"{path}: x: {message}")


# Labels


@pytest.mark.parametrize(
    "y", [Y, Y[:, None], Y.astype("f4"), np.eye(3)[Y], np.eye(3, dtype=bool)[Y], Y.astype("u1"), Y.astype(">i8")]
)
def test_numbers_and_one_hot_rows_are_classes(tmp_path: Path, y: NDArray[Any]) -> None:
    found = readable(save(tmp_path / "set.npz", x=X, y=y))
    assert found.train.labels.tolist() == Y.tolist()
    assert found.names is None


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_words_are_names_of_classes_in_their_order(tmp_path: Path, dtype: str) -> None:
    y = np.array(["dog", "cat", "ant", "cat", "dog"], dtype)
    found = readable(save(tmp_path / "set.npz", x_train=X, y_train=y, x_test=TEST_X, y_test=y[1:3]))
    assert found.names == ("ant", "cat", "dog")
    assert found.train.labels.tolist() == [2, 1, 0, 1, 2]
    assert found.test
    assert found.test.labels.tolist() == [1, 0]


def test_words_that_are_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    found = readable(save(tmp_path / "set.npz", x=X, y=np.array(["10", "9", "1", "9", "10"])))
    assert found.names == ("1", "9", "10")
    assert found.train.labels.tolist() == [2, 1, 0, 1, 2]


def test_a_class_that_training_has_not_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x_train=X, y_train=list("ababa"), x_test=TEST_X, y_test=list("ac"))
    assert refused(path) == f"{path}: y_test: found class 'c', expected one that y_train has"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:4], "found 4 labels, expected 5, one for each training image in x"),
        (np.array(3), "found 1 labels, expected 5, one for each training image in x"),
        (Y - 1, "label 0 is -1, expected a whole number from 0 to 255: at most 256 classes are possible"),
        (Y + 254, "label 2 is 256, expected a whole number from 0 to 255: at most 256 classes are possible"),
        (Y / 2, "label 1 is 0.5, expected a whole number from 0 to 255: at most 256 classes are possible"),
        (Y + np.nan, "label 0 is nan, expected a whole number from 0 to 255: at most 256 classes are possible"),
        (np.tile(Y[:, None], 3), "found 3 columns, expected one class for each image, or one-hot rows"),
        (np.zeros((5, 0)), "found 5 x 0 labels of type float64, expected a class for each image"),
        (
            np.maximum(np.eye(14)[Y], np.eye(14)[1]),
            "label 0 has 2 ones in its 14 columns, expected exactly one: of several labels for an image, none is its class",
        ),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path: Path, y: NDArray[Any], message: str) -> None:
    path = save(tmp_path / "set.npz", x=X, y=y)
    assert refused(path) == f"{path}: y: {message}"


def test_256_classes_and_no_more_have_names(tmp_path: Path) -> None:
    x, words = np.zeros((257, 2, 2), np.uint8), np.array([f"{k:03}" for k in range(257)])
    assert len(readable(save(tmp_path / "set.npz", x=x[:256], y=words[:256])).names or ()) == 256
    path = save(tmp_path / "set.npz", x=x, y=words)
    assert refused(path) == f"{path}: y: found 257 classes, at most 256 are possible"


def test_no_images_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=X[:0], y=Y[:0])
    assert refused(path) == f"{path}: x: found no training images, expected at least one"


# Damage and lies


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x=X, y=np.array([Bomb(tmp_path / "bang")] * 5, object))
    assert refused(path) == f"{path}: y: found Python objects, which are never unpickled, expected an array of numbers"
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "bang")))
    path.unlink()
    assert refused(tmp_path).startswith(f"{tmp_path / 'y.npy'}: found no NumPy array")
    assert not (tmp_path / "bang").exists()


def npy(shape: str, data: bytes = b"", descr: str = "'|u1'") -> bytes:
    """A .npy file with this header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "found no NumPy array, expected one that starts with b'\\x93NUMPY'"),
        (npy("(5, 4, 6)", bytes(119)), "found 119 bytes of data, expected 120 as its header claims (5 x 4 x 6 of uint8)"),
        (npy("(5, 4, 6)", bytes(121)), "found 121 bytes of data, expected 120 as its header claims (5 x 4 x 6 of uint8)"),
        (
            npy("(4000000000, 28, 28)", b"x"),
            "found 1 bytes of data, expected 3,136,000,000,000 as its header claims (4000000000 x 28 x 28 of uint8)",
        ),
        (npy("(5,)", bytes(40), "'<M8[s]'"), "found the header \"{'descr': '<M8[s]'"),
        (npy("(5,)", bytes(5), "[('a', '|u1')]"), "found the header \"{'descr': [('a', '|u1')]"),
        (npy("(-5,)", bytes(5)), "found the header"),
        (npy("(5,)", bytes(5), "'|i3'"), "found type '|i3' and shape (5,), expected those of an array"),
        (npy("(5,)", bytes(5), "'|V1'"), "found values of type '|V1', expected numbers or words"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "its header claims 4,294,967,295 bytes for itself, expected no more than 10,000"),
        (npy("(99999999999, 0, 99999999999)"), "no array has the shape that its header claims"),
    ],
)
def test_a_damaged_array_is_refused_before_memory_is_taken(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "x.npy").write_bytes(raw)
    np.save(tmp_path / "y.npy", Y)
    tracemalloc.start()
    try:
        assert refused(tmp_path).startswith(f"{tmp_path / 'x.npy'}: {message}")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_archive_that_expands_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path, head = tmp_path / "set.npz", npy("(128000, 28, 28)")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(npy("(128000, 28, 28)"))
            for _ in range(28):
                member.write(bytes(128_000 * 28))
        labels = io.BytesIO()
        np.save(labels, np.zeros(128_000, np.uint8))
        archive.writestr("y.npy", labels.getvalue())
    held = path.stat().st_size
    tracemalloc.start()
    try:
        assert refused(path) == (
            f"{path}: x: the archive claims {128_000 * 784 + len(head):,} bytes, found {held:,}, "
            "expected no more than 200 times as many"
        )
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("at", "byte"), [(60, 0xFF), (-30, 0xFF), (-10, 0xEE)])
def test_a_damaged_archive_is_refused(tmp_path: Path, at: int, byte: int) -> None:
    path = save(tmp_path / "set.npz", x=X, y=Y)
    raw = bytearray(path.read_bytes())
    raw[at] ^= byte
    path.write_bytes(raw)
    assert refused(path).startswith(f"{path}: ")


def test_one_changed_pixel_of_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=X, y=Y)  # not compressed: nothing but its checksum tells
    raw = (tmp_path / "set.npz").read_bytes()
    assert raw.count(X.tobytes()) == 1
    (tmp_path / "set.npz").write_bytes(raw.replace(X.tobytes(), (X ^ 1).tobytes()))
    assert refused(tmp_path / "set.npz") == f"{tmp_path / 'set.npz'}: damaged archive: Bad CRC-32 for file 'x.npy'"


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"<html>")
    assert refused(tmp_path / "set.npz") == f"{tmp_path / 'set.npz'}: damaged archive: File is not a zip file"
