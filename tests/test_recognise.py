import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import write_idx_folder
from PIL import Image
from scipy.io import savemat

from stepladder.data import DataError, pictures
from stepladder.data.recognise import FORMATS, read

X, Y = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8), np.array([0, 1, 2, 1, 0], np.uint8)


def idx(folder: Path) -> Path:
    return write_idx_folder(folder, (X, Y, X[:2], Y[:2]))


def npz(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=X, y_train=Y)
    return path


def csv(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.column_stack([Y, X.reshape(5, -1)]), "%d", ",")
    return path


def folders(path: Path) -> Path:
    """A folder of pictures for each class."""
    for number, (image, label) in enumerate(zip(X, Y, strict=True)):
        place = path / "train" / str(label) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    return path


def parquet(path: Path) -> Path:
    path.mkdir()
    pixels = [{"bytes": file.read_bytes(), "path": file.name} for file in sorted(folders(path.parent / "p").rglob("*.png"))]
    table = pyarrow.table({"image": pixels, "label": pyarrow.array(np.sort(Y), pyarrow.int64())})
    pyarrow.parquet.write_table(table, path / "train-00000-of-00001.parquet")
    return path


def cifar(path: Path) -> Path:
    path.mkdir()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (path / name).write_bytes(bytes(3073))
    (path / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    return path


def svhn(path: Path) -> Path:
    path.mkdir()
    savemat(path / "train_32x32.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [10]])})
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


def test_each_format_is_recognised_in_a_folder_and_as_a_file(tmp_path: Path) -> None:
    paths = {
        "IDX files": [idx(tmp_path / "idx"), tmp_path / "idx" / "train-images-idx3-ubyte"],
        "Keras archive": [npz(tmp_path / "npz" / "mnist.npz").parent, tmp_path / "npz" / "mnist.npz"],
        "CSV": [csv(tmp_path / "csv" / "train.csv").parent, tmp_path / "csv" / "train.csv"],
    }
    for kind, places in paths.items():
        for path in places:
            found = read(path)
            assert found.kind == kind
            np.testing.assert_array_equal(found.train.images, X[:, None], strict=True)
            np.testing.assert_array_equal(found.train.labels, Y, strict=True)


@pytest.mark.parametrize(
    ("write", "images", "sides"),
    [(idx, 5, (1, 4, 4)), (folders, 5, (1, 4, 4)), (parquet, 5, (1, 4, 4)), (cifar, 5, (3, 32, 32)), (svhn, 2, (3, 32, 32))],
)
@pytest.mark.parametrize("size", [None, (3, 5)])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_every_format_comes_in_the_size_and_channels_asked_for(
    tmp_path: Path,
    write: Callable[[Path], Path],
    images: int,
    sides: tuple[int, int, int],
    size: tuple[int, int] | None,
    channels: int | None,
) -> None:
    found = read(write(tmp_path / "data"), size, channels)
    expected = (channels or sides[0], *(size or sides[1:]))
    assert found.train.images.shape == (images, *expected)
    assert found.train.images.flags.c_contiguous
    assert found.test is None or found.test.images.shape[1:] == expected


def test_what_lies_beside_the_data_is_passed_over(tmp_path: Path) -> None:
    idx(tmp_path)
    for name in ("README.md", ".DS_Store", "LICENSE", "._train-images-idx3-ubyte", "train-images-idx3-ubyte.md5"):
        (tmp_path / name).write_text("x")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        idx(tmp_path / name)
    assert read(tmp_path).kind == "IDX files"


@pytest.mark.parametrize("inside", ["gzip", "MNIST/raw", "a/b/c"])
def test_the_only_data_set_within_a_folder_is_read(tmp_path: Path, inside: str) -> None:
    idx(tmp_path / inside)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "mnist.pdf").touch()
    assert read(tmp_path).kind == "IDX files"


def test_two_data_sets_within_a_folder_are_refused(tmp_path: Path) -> None:
    idx(tmp_path / "MNIST" / "raw")
    npz(tmp_path / "keras" / "mnist.npz")
    assert refused(tmp_path) == f"{tmp_path}: found a data set in MNIST and in keras, expected one: give the path of one"


def test_a_data_set_deep_below_is_not_looked_for(tmp_path: Path) -> None:
    idx(tmp_path / "a" / "b" / "c" / "d")
    assert refused(tmp_path) == f"{tmp_path}: found a, expected {FORMATS}"


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_folder_that_links_back_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path)
    assert "is a link back to a folder that it lies in" in refused(tmp_path)


def test_a_path_at_which_nothing_lies_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "photos") == f"{tmp_path / 'photos'}: no such file or folder"
    assert refused(tmp_path / "a\0b") == f"{tmp_path}/a\0b: no such file or folder"
    assert refused(tmp_path / ("x" * 300)) == f"{tmp_path / ('x' * 300)}: cannot be read: File name too long"


def test_what_lies_in_a_folder_of_no_known_format_is_said(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: found nothing, expected {FORMATS}"
    for name in "gfedcba":
        (tmp_path / name).touch()
    assert refused(tmp_path) == f"{tmp_path}: found a, b, c, d, e, 2 more, expected {FORMATS}"


@pytest.mark.parametrize("name", ["data.zip", "cifar-10-python.tar.gz", "data.TGZ", "train.csv.gz", "data.7z"])
def test_a_packed_file_is_to_be_unpacked_first(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert refused(tmp_path / name) == f"{tmp_path / name}: found a packed file, expected what is in it: unpack it first"
    assert refused(tmp_path) == f"{tmp_path}: found {name}, expected {FORMATS}; unpack {name} first"


def test_a_file_of_no_known_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    assert refused(tmp_path / "model.pt") == f"{tmp_path / 'model.pt'}: found a file of no known format, expected {FORMATS}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["train.csv", "set.npz", "train-images-idx3-ubyte", "data"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError):
        read(tmp_path / name)
    with pytest.raises(DataError):
        read(tmp_path)


@pytest.mark.parametrize(("error", "told"), [(MemoryError(), "not enough memory"), (OSError(5, "Input/output error"), "Input/")])
def test_what_the_system_refuses_at_last_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    npz(tmp_path / "mnist.npz")
    monkeypatch.setattr(pictures, "converted", refuse)
    assert refused(tmp_path).startswith(f"{tmp_path}: cannot be read: {told}")


def test_a_damaged_file_is_told_and_no_other_format_tried(tmp_path: Path) -> None:
    idx(tmp_path)
    csv(tmp_path / "train.csv")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    assert refused(tmp_path).startswith(f"{tmp_path / 'train-images-idx3-ubyte'}: truncated: ")
