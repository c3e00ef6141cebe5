import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import IDX_NAMES, idx_bytes, write_idx_folder
from numpy.typing import NDArray

from stepladder import data
from stepladder.data import DataError, with_classes

Arrays = list[NDArray[np.uint8]]


@pytest.fixture
def arrays() -> Arrays:
    """Five training and two test images of 3 x 4 pixels, with labels 0 to 2."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (n, 3, 4), np.uint8) for n in (5, 2)]
    return [images[0], np.array([0, 1, 2, 1, 0], np.uint8), images[1], np.array([2, 0], np.uint8)]


# The embedded MNIST


def test_the_embedded_mnist_has_its_known_shapes_and_labels() -> None:
    mnist = data.load()
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert mnist.test_labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert {array.dtype for array in vars(mnist).values() if isinstance(array, np.ndarray)} == {np.dtype(np.uint8)}


def test_the_embedded_mnist_is_ink_on_black() -> None:
    images = data.load().train_images[:, 0]
    assert (images.min(), images.max()) == (0, 255)
    assert images[:, 0, 0].max() == 0  # the corner is never inked
    assert images[:, 14, 14].mean() > 100


def test_the_embedded_mnist_has_its_known_mean_and_deviation() -> None:
    assert np.array(data.load().normalisation()) == pytest.approx(np.array([[0.1307], [0.3081]]), abs=5e-5)


def test_the_embedded_mnist_needs_no_network() -> None:
    code = """
import sys
sys.addaudithook(lambda event, arguments: sys.exit(f"network: {event}") if event.startswith("socket.") else None)
from stepladder import data
print(data.load().train_images.shape)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("(60000, 1, 28, 28)\n", "")


def test_a_damaged_embedded_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = data.load()
    write_idx_folder(
        tmp_path, (mnist.train_images[:50, 0], mnist.train_labels[:50], mnist.test_images[:10, 0], mnist.test_labels[:10])
    )
    monkeypatch.setattr("stepladder.data.source.EMBEDDED", tmp_path)
    data.load.cache_clear()
    try:
        with pytest.raises(DataError) as refused:
            data.load()
    finally:
        data.load.cache_clear()
    found = data.load(tmp_path).digest
    assert str(refused.value) == (
        f"{tmp_path}: the embedded MNIST is damaged: its SHA-256 is {found}, expected {data.MNIST_DIGEST}"
    )


def test_one_changed_label_of_the_embedded_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = data.load()
    labels = mnist.test_labels.copy()
    labels[4321] ^= 1
    shutil.copytree(data.EMBEDDED, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"{IDX_NAMES[3]}.gz").unlink()
    (tmp_path / IDX_NAMES[3]).write_bytes(idx_bytes(labels))
    monkeypatch.setattr("stepladder.data.source.EMBEDDED", tmp_path)
    data.load.cache_clear()
    try:
        with pytest.raises(DataError, match="the embedded MNIST is damaged"):
            data.load()
    finally:
        data.load.cache_clear()


def test_data_is_read_once_a_process() -> None:
    assert data.load() is data.load()


# A folder of one's own


def test_a_folder_is_read_with_its_mean_and_deviation(tmp_path: Path, arrays: Arrays) -> None:
    found = data.load(write_idx_folder(tmp_path, arrays))
    for name, array in zip(("train_images", "train_labels", "test_images", "test_labels"), arrays, strict=True):
        np.testing.assert_array_equal(getattr(found, name), array[:, None] if array.ndim == 3 else array, strict=True)
    (mean,), (deviation,) = found.normalisation()
    assert (mean, deviation) == pytest.approx((arrays[0].mean() / 255, arrays[0].std() / 255), rel=1e-12)


def test_plain_and_gzipped_files_have_the_same_digest(tmp_path: Path, arrays: Arrays) -> None:
    plain = data.load(write_idx_folder(tmp_path / "plain", arrays))
    gzipped = data.load(write_idx_folder(tmp_path / "gz", arrays, compressed=True))
    assert plain.digest == gzipped.digest
    assert len(bytes.fromhex(plain.digest)) == hashlib.sha256().digest_size


@pytest.mark.parametrize("changed", range(4))
def test_the_digest_changes_with_each_of_the_files(tmp_path: Path, arrays: Arrays, changed: int) -> None:
    before = data.load(write_idx_folder(tmp_path / "before", arrays)).digest
    arrays[changed].flat[0] ^= 1
    assert data.load(write_idx_folder(tmp_path / "after", arrays)).digest != before


def test_the_digest_changes_with_the_shape_of_the_same_bytes(tmp_path: Path, arrays: Arrays) -> None:
    before = data.load(write_idx_folder(tmp_path / "before", arrays)).digest
    turned = [array.reshape(len(array), 4, 3) if array.ndim == 3 else array for array in arrays]
    assert data.load(write_idx_folder(tmp_path / "after", turned)).digest != before


@pytest.mark.parametrize("missing", range(4))
@pytest.mark.parametrize("compressed", [False, True])
def test_a_missing_file_is_named(tmp_path: Path, arrays: Arrays, missing: int, compressed: bool) -> None:
    name = IDX_NAMES[missing]
    os.remove(write_idx_folder(tmp_path, arrays, compressed=compressed) / (f"{name}.gz" if compressed else name))
    with pytest.raises(DataError) as refused:
        data.load(tmp_path)
    assert str(refused.value) == f"{tmp_path / name}: file not found, expected it plain or as {name}.gz"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        data.load(tmp_path / "none")
    assert str(refused.value) == f"{tmp_path / 'none'}: no such file or folder"


def test_a_folder_that_the_operating_system_refuses_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    with pytest.raises(DataError) as refused:
        data.load(folder)
    assert str(refused.value) == f"{folder}: cannot be read: File name too long"


def test_images_and_labels_exchanged_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    write_idx_folder(tmp_path, [arrays[1], arrays[0], arrays[2], arrays[3]])
    with pytest.raises(DataError) as refused:
        data.load(tmp_path)
    assert str(refused.value) == f"{tmp_path / IDX_NAMES[0]}: wrong magic number: found 0x00000801, expected 0x00000803"


@pytest.mark.parametrize(
    ("cut", "labels", "found", "expected", "part", "images"),
    [(1, IDX_NAMES[1], 3, 5, "training", IDX_NAMES[0]), (3, IDX_NAMES[3], 1, 2, "test", IDX_NAMES[2])],
)
def test_counts_that_differ_are_refused(
    tmp_path: Path, arrays: Arrays, cut: int, labels: str, found: int, expected: int, part: str, images: str
) -> None:
    arrays[cut] = arrays[cut][:found]
    with pytest.raises(DataError) as refused:
        data.load(write_idx_folder(tmp_path, arrays))
    assert str(refused.value) == (
        f"{tmp_path / labels}: found {found} labels, expected {expected}, one for each {part} image in {images}"
    )


@pytest.mark.parametrize(("file", "at"), [(1, 3), (3, 1)])
def test_a_label_out_of_range_is_refused_with_its_place(tmp_path: Path, arrays: Arrays, file: int, at: int) -> None:
    arrays[file][at] = 10
    with pytest.raises(DataError) as refused:
        with_classes(data.load(write_idx_folder(tmp_path, arrays)), 10)
    part = "test" if file == 3 else "training"
    assert str(refused.value) == (
        f"label out of range: label {at} of the {part} images is 10, expected 0 to 9 (10 classes of the network)"
    )


def test_labels_are_held_to_the_networks_classes(tmp_path: Path, arrays: Arrays) -> None:
    found = data.load(write_idx_folder(tmp_path, arrays))
    assert found.classes == ("0", "1", "2")
    assert with_classes(found, 3) is found
    assert with_classes(found, 5).classes == ("0", "1", "2", "3", "4")
    with pytest.raises(DataError, match=r"label out of range: label 2 of the training images is 2, expected 0 to 1 \(2 classes"):
        with_classes(found, 2)


@pytest.mark.parametrize(("first", "part"), [(0, "training"), (2, "test")])
def test_no_images_are_refused(tmp_path: Path, arrays: Arrays, first: int, part: str) -> None:
    arrays[first], arrays[first + 1] = arrays[first][:0], arrays[first + 1][:0]
    with pytest.raises(DataError) as refused:
        data.load(write_idx_folder(tmp_path, arrays))
    assert str(refused.value) == f"{tmp_path / IDX_NAMES[first]}: found no {part} images, expected at least one"


def test_test_images_of_another_size_are_refused(tmp_path: Path, arrays: Arrays) -> None:
    arrays[2] = arrays[2][:, :2]
    with pytest.raises(DataError) as refused:
        data.load(write_idx_folder(tmp_path, arrays))
    assert str(refused.value) == f"{tmp_path / IDX_NAMES[2]}: its images are 2 x 4, expected 3 x 4 as in {IDX_NAMES[0]}"


def test_a_malformed_file_of_a_folder_is_named(tmp_path: Path, arrays: Arrays) -> None:
    path = write_idx_folder(tmp_path, arrays) / IDX_NAMES[2]
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError) as refused:
        data.load(tmp_path)
    assert str(refused.value) == f"{path}: longer than its header says: found 25 bytes of data, expected 24 (2 x 3 x 4)"


def test_images_must_fit_the_network(tmp_path: Path, arrays: Arrays) -> None:
    found = data.load(write_idx_folder(tmp_path, arrays))
    data.check_fits(found, (1, 3, 4))
    with pytest.raises(DataError, match=r"^the images are 1 x 3 x 4, the network expects 1 x 28 x 28$"):
        data.check_fits(found, (1, 28, 28))
    with pytest.raises(DataError, match=r"^the images are 1 x 3 x 4, the network expects 3 x 3 x 4$"):
        data.check_fits(found, (3, 3, 4))


def test_images_of_one_grey_level_are_refused(tmp_path: Path) -> None:
    grey = np.full((3, 4, 4), 7, np.uint8)
    labels = np.zeros(3, np.uint8)
    folder = write_idx_folder(tmp_path / "grey", (grey, labels, grey, labels))
    with pytest.raises(DataError, match="every training pixel is 7, expected images with more than one grey level"):
        data.load(folder).normalisation()
