"""Every format end to end: the same images are the same runs, whatever they come in, grey and colour, on both engines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from conftest import idx_bytes, write_idx_folder
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

import stepladder as sl
from stepladder import Affine, Budget, Conv, Erasing, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step

pytestmark = pytest.mark.usefixtures("in_process")


Array = NDArray[np.uint8]
Arrays = tuple[Array, Array, Array, Array]
"""Training images (n, channels, height, width), their labels, test images, theirs."""


def drawn(channels: int, height: int, width: int, classes: int = 10, train: int = 90, test: int = 50) -> Arrays:
    """A bright bar a class, in its place, on noise."""
    random = np.random.default_rng(0)
    parts = []
    for count in (train, test):
        labels = np.sort(np.arange(count) % classes).astype(np.uint8)
        images = random.integers(0, 120, (count, channels, height, width), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[label % channels, :, label % width] = 255
        parts += [images, labels]
    return parts[0], parts[1], parts[2], parts[3]


def idx(folder: Path, arrays: Arrays) -> Path:
    return write_idx_folder(folder, [array[:, 0] if array.ndim == 4 else array for array in arrays])


def qmnist(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        (folder / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx_bytes(images[:, 0]))
        table = np.zeros((len(labels), 8), ">i4")
        table[:, 0] = labels
        header = bytes([0, 0, 0x0C, 2]) + np.array(table.shape, ">u4").tobytes()
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(header + table.tobytes())
    return folder


def emnist(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        (folder / f"emnist-digits-{part}-images-idx3-ubyte").write_bytes(idx_bytes(np.ascontiguousarray(images[:, 0].mT)))
        (folder / f"emnist-digits-{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


def keras(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    names = ("x_train", "y_train", "x_test", "y_test")
    last: dict[str, Any] = {name: np.moveaxis(a, 1, -1) if a.ndim == 4 else a for name, a in zip(names, arrays, strict=True)}
    np.savez(folder / "own.npz", **last)
    return folder / "own.npz"


def medmnist(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    x, y, z, t = arrays
    parts = {"train_images": x, "train_labels": y, "val_images": x[:10], "val_labels": y[:10], "test_images": z, "test_labels": t}
    shaped: dict[str, Any] = {
        name: np.moveaxis(array, 1, -1).squeeze() if array.ndim == 4 else array[:, None] for name, array in parts.items()
    }
    np.savez_compressed(folder / "medical.npz", **shaped)
    return folder / "medical.npz"


def csv(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        pixels = np.moveaxis(images, 1, -1).reshape(len(images), -1)
        header = ",".join(["label", *(f"pixel{number}" for number in range(pixels.shape[1]))])
        np.savetxt(folder / f"{part}.csv", np.column_stack([labels, pixels]), "%d", ",", header=header, comments="")
    return folder


def pictures(folder: Path, arrays: Arrays) -> Path:
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = folder / part / str(label) / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1).squeeze())).save(place)
    return folder


def parquet(folder: Path, arrays: Arrays) -> Path:
    made = pictures(folder.with_name("as-pictures"), arrays)
    folder.mkdir()
    for part, labels in (("train", arrays[1]), ("test", arrays[3])):
        files = sorted((made / part).rglob("*.png"), key=lambda path: int(path.stem))
        cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
        table = pyarrow.table({"image": cells, "label": pyarrow.array(labels, pyarrow.int64())})
        pyarrow.parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return folder


def cifar(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    rows = [np.column_stack([labels, images.reshape(len(images), -1)]) for images, labels in (arrays[:2], arrays[2:])]
    for number, batch in enumerate(np.array_split(rows[0], 5), start=1):
        (folder / f"data_batch_{number}.bin").write_bytes(batch.astype(np.uint8).tobytes())
    (folder / "test_batch.bin").write_bytes(rows[1].astype(np.uint8).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    return folder


def svhn(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        levels, digits = np.moveaxis(images, 0, -1).transpose(1, 2, 0, 3), np.where(labels == 0, 10, labels)
        savemat(folder / f"{part}_32x32.mat", {"X": levels, "y": digits[:, None]})
    return folder


GREY: list[Callable[[Path, Arrays], Path]] = [idx, qmnist, emnist, keras, medmnist, csv, pictures, parquet]
COLOUR: list[Callable[[Path, Arrays], Path]] = [keras, medmnist, csv, pictures, parquet, cifar, svhn]


def ladder(channels: int, height: int, width: int, classes: int = 10) -> Ladder:
    network = Network(
        [Conv(8), MaxPool(2), Conv(12), Conv(classes, kernel=1, activation=None), GlobalAvgPool()],
        input=(channels, height, width),
        classes=classes,
    )
    recipe = Recipe(epochs=1, batch_size=30, learning_rate=0.02, augmentation=Affine(rotate=10, shift=1), erasing=Erasing(0.3))
    return Ladder("formats", Budget(parameters=5_000, epochs=1, accuracy=0.5, hold=1), [Step("Plain", network, recipe)])


@pytest.fixture(scope="module", params=["grey", "colour"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Arrays, str]:
    """Runs of both engines on grey or colour images, from an archive; the folder, and the images."""
    folder = tmp_path_factory.mktemp("formats")
    arrays = drawn(1, 28, 28) if request.param == "grey" else drawn(3, 32, 32)
    source = keras(folder / "keras", arrays)
    for engine in ("native", "torch"):
        sl.Lab(folder / "runs", data=source, engine=engine, workers=1).run(ladder(*arrays[0].shape[1:]), progress=False)
    return folder, arrays, request.param


def test_both_engines_agree(trained: tuple[Path, Arrays, str]) -> None:
    folder, arrays, _ = trained
    runs = [
        sl.Lab(folder / "runs", data=folder / "keras" / "own.npz", engine=engine)
        .result(ladder(*arrays[0].shape[1:]))["plain"]
        .run()
        for engine in ("native", "torch")
    ]
    np.testing.assert_allclose(runs[0].logits(), runs[1].logits(), rtol=0, atol=2e-3)
    for run in runs:
        with torch.no_grad():
            again = run.model()(run.prepare(arrays[2]))
        np.testing.assert_allclose(again.numpy(), run.logits(), rtol=0, atol=1e-3)
        assert run.record.normalisation
        assert len(run.record.normalisation.mean) == arrays[0].shape[1]


def test_whatever_they_come_in_the_same_images_are_the_same_runs(trained: tuple[Path, Arrays, str]) -> None:
    folder, arrays, kind = trained
    climbed = ladder(*arrays[0].shape[1:])
    for write in GREY if kind == "grey" else COLOUR:
        if write is keras:
            continue
        source = write(folder / write.__name__, arrays)
        for engine in ("native", "torch"):
            lab = sl.Lab(folder / "runs", data=source, engine=engine)
            found = lab.images()
            for array, expected in zip((*found.parts[0], *found.parts[1]), arrays, strict=True):
                np.testing.assert_array_equal(array, expected, err_msg=write.__name__)
            assert len(lab.result(climbed).rows()) == 1, write.__name__


def test_letters_are_answered_by_their_names(tmp_path: Path) -> None:
    arrays = drawn(1, 28, 28, classes=26, train=130, test=78)
    (tmp_path / "letters").mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        turned = np.ascontiguousarray(images[:, 0].mT)
        (tmp_path / "letters" / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx_bytes(turned))
        (tmp_path / "letters" / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels + 1))
    lab = sl.Lab(tmp_path / "runs", data=tmp_path / "letters", workers=1)
    with pytest.raises(
        sl.DataError, match=r"the images have 26 classes \(A, B, C, \.\.\., Z\), the network tells 10 apart: classes=26"
    ):
        lab.run(ladder(1, 28, 28), progress=False)
    result = lab.run(ladder(1, 28, 28, classes=26), progress=False)
    assert result["plain"].run().record.classes == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert result.data["data"]["classes"][-1] == "Z"
    (analysis,) = (step["analysis"] for step in result.data["steps"])
    assert any(f"is {letter} mistaken for" in analysis for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
