"""Parquet as Hugging Face keeps data sets of images."""

import json
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from stepladder.data import DataError
from stepladder.data.found import Found, Part
from stepladder.data.parquet import read


def png(level: int | tuple[int, int, int], size: tuple[int, int] = (3, 2)) -> bytes:
    """A picture of one level or colour, `size` wide and high."""
    file = BytesIO()
    Image.new("L" if isinstance(level, int) else "RGB", size, level).save(file, "png")
    return file.getvalue()


def features(**named: Any) -> dict[str, str]:
    """The schema's metadata in which Hugging Face describes columns."""
    return {"huggingface": json.dumps({"info": {"features": named}})}


CLASSES = {"names": ["cat", "dog"], "_type": "ClassLabel"}


def write(
    path: Path,
    levels: Sequence[int | tuple[int, int, int]] = (7, 8, 9),
    labels: Sequence[int | None] = (0, 1, 1),
    names: tuple[str, str] = ("image", "label"),
    metadata: dict[str, str] | None = None,
    **more: Any,
) -> Path:
    """Rows of a picture of one level and its label, and more columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{"bytes": png(level), "path": f"{k}.png"} for k, level in enumerate(levels)]
    table = pyarrow.table({names[0]: pictures, names[1]: pyarrow.array(labels, pyarrow.int64()), **more})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata or features(label=CLASSES)), path)
    return path


def found(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found:
    result = read(path, size, channels)
    assert result is not None
    return result


def shown(part: Part | None) -> list[tuple[int, int]]:
    """The level and label of each picture."""
    assert part is not None
    assert part.images.dtype == part.labels.dtype == np.uint8
    assert part.images.flags.c_contiguous
    return list(zip(part.images[:, 0, 0, 0].tolist(), part.labels.tolist(), strict=True))


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


# Files


@pytest.mark.parametrize("folder", ["", "data"])
def test_parts_are_told_by_the_files_names(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder / "train-00000-of-00002.parquet")
    write(tmp_path / folder / "train-00001-of-00002.parquet", [1], [1])
    write(tmp_path / folder / "test-00000-of-00001-b6b2f2c4.parquet", [2], [0])
    write(tmp_path / folder / "validation-00000-of-00001.parquet", [3], [1])
    read_ = found(tmp_path)
    assert read_.kind == "parquet"
    assert read_.names == ("cat", "dog")
    assert read_.remarks == ()
    assert shown(read_.train) == [(7, 0), (8, 1), (9, 1), (1, 1)]
    assert shown(read_.test) == [(2, 0)]
    assert shown(read_.validation) == [(3, 1)]
    assert read_.train.images.shape == (4, 1, 2, 3)


def test_parts_are_told_by_folders(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0000.parquet")
    write(tmp_path / "test" / "0000.parquet", [2], [0])
    read_ = found(tmp_path)
    assert shown(read_.train) == [(7, 0), (8, 1), (9, 1)]
    assert shown(read_.test) == [(2, 0)]


def test_one_file_and_files_of_no_part_are_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "digits.parquet")
    for source in (path, tmp_path):
        read_ = found(source)
        assert shown(read_.train) == [(7, 0), (8, 1), (9, 1)]
        assert read_.test is None


def test_files_of_no_part_beside_others_are_passed_over_and_said(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    write(tmp_path / "extra.parquet")
    (tmp_path / ".train.parquet").touch()
    assert found(tmp_path).remarks == ("passed over files of no part: extra.parquet",)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_shard_is_named(tmp_path: Path, missing: int) -> None:
    for k in {0, 1, 2} - {missing}:
        write(tmp_path / f"train-0000{k}-of-00003.parquet")
    path = tmp_path / f"train-0000{missing}-of-00003.parquet"
    assert refused(tmp_path) == f"{path}: file not found, expected 3 files, as the names of the others say"


def test_a_missing_train_part_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "test.parquet")
    assert refused(tmp_path) == f"{tmp_path}: found no parquet for training, expected a file whose name begins with train"


def test_what_is_no_parquet_is_another_format(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.txt").touch()
    assert read(tmp_path) is None
    assert read(tmp_path / "notes.txt") is None
    assert read(tmp_path / "nothing.parquet") is None
    assert read(Path("a\0b")) is None


def test_a_test_part_without_labels_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    write(tmp_path / "test.parquet", [1, 2], [-1, -1])
    read_ = found(tmp_path)
    assert read_.test is None
    assert read_.remarks == ("passed over the test part, whose labels are all -1: it has none",)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "train.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    expected = "parquet is read by pyarrow, which is not installed: pip install 'stepladder[parquet]'"
    assert refused(tmp_path) == f"{path}: {expected}"


# Columns


@pytest.mark.parametrize(("image", "label"), [("img", "fine_label"), ("picture", "labels"), ("image", "digit")])
def test_columns_may_have_other_names(tmp_path: Path, image: str, label: str) -> None:
    path = write(tmp_path / "x.parquet", names=(image, label), metadata=features(**{label: CLASSES}))
    assert found(path).names == ("cat", "dog")


def test_other_columns_are_passed_over_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", names=("image", "fine_label"), coarse_label=[5, 6, 7], note=["a", "b", "c"])
    read_ = found(path)
    assert shown(read_.train) == [(7, 0), (8, 1), (9, 1)]
    assert read_.names is None
    assert read_.remarks == ("passed over columns: coarse_label, note",)


def test_pictures_may_be_bytes_alone(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"image": [png(5)], "label": [0]}), tmp_path / "x.parquet")
    assert shown(found(tmp_path / "x.parquet").train) == [(5, 0)]


@pytest.mark.parametrize(
    "metadata",
    [
        {"other": "x"},
        {"huggingface": "nonsense"},
        {"huggingface": "[]"},
        {"huggingface": "[" * 100_000},
        {"huggingface": '{"info": {"features": {"label": 5}}}'},
        features(label={"dtype": "int64", "_type": "Value"}),
        features(label={"names": [1, 2], "_type": "ClassLabel"}),
    ],
)
def test_without_names_classes_are_numbered(tmp_path: Path, metadata: dict[str, str]) -> None:
    assert found(write(tmp_path / "x.parquet", metadata=metadata)).names is None


def test_columns_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "label": [0]}), path)
    expected = "expected one of images ({bytes, path}) and one of labels (label, int64)"
    assert refused(path) == f"{path}: found columns text (string), label (int64), {expected}"
    pyarrow.parquet.write_table(pyarrow.table({"image": [png(5)], "a": [0], "b": [0]}), path)
    assert refused(path) == f"{path}: found columns image (binary), a (int64), b (int64), {expected}"


def test_a_part_without_the_columns_of_training_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    path = write(tmp_path / "test.parquet", names=("image", "digit"))
    assert refused(tmp_path) == f"{path}: found columns image, digit, expected label as in the first file"


# Rows


def test_many_rows_are_read_in_order(tmp_path: Path) -> None:
    levels = [k % 251 for k in range(300)]
    path = write(tmp_path / "x.parquet", levels, [k % 2 for k in range(300)])
    assert shown(found(path).train) == [(level, k % 2) for k, level in enumerate(levels)]


def test_colour_and_size_are_of_all_parts(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    write(tmp_path / "test.parquet", [(1, 2, 3)], [0])
    read_ = found(tmp_path)
    assert read_.train.images.shape == (3, 3, 2, 3)
    assert read_.test is not None
    assert read_.test.images[0, :, 0, 0].tolist() == [1, 2, 3]
    assert found(tmp_path, (5, 4), 1).train.images.shape == (3, 1, 5, 4)


def test_two_sizes_are_refused_by_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": [png(1), png(1, (4, 4))], "label": [0, 0]}), path)
    expected = f"expected 2 x 3 as in {path}: row 0, unless they are resized (--size HxW)"
    assert refused(path) == f"{path}: row 1: its picture is 4 x 4 (height x width), {expected}"


@pytest.mark.parametrize(("label", "found_"), [(2, "2"), (-1, "-1"), (1 << 40, "1099511627776")])
def test_a_label_out_of_range_is_refused(tmp_path: Path, label: int, found_: str) -> None:
    path = write(tmp_path / "x.parquet", labels=[0, 1, label])
    assert refused(path) == f"{path}: label out of range: label of row 2 is {found_}, expected 0 to 1 (2 classes)"


def test_without_names_there_are_256_classes_at_most(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", labels=[0, 1, 256], metadata={"a": "b"})
    assert refused(path) == f"{path}: label out of range: label of row 2 is 256, expected 0 to 255 (256 classes at most)"


def test_257_names_are_refused(tmp_path: Path) -> None:
    for count, refuses in ((256, False), (257, True)):
        names = {"names": [str(k) for k in range(count)], "_type": "ClassLabel"}
        path = write(tmp_path / "x.parquet", metadata=features(label=names))
        if refuses:
            assert refused(path) == f"{path}: found 257 names of classes, expected 256 at most"
        else:
            assert len(found(path).names or ()) == 256


def test_a_row_without_label_or_picture_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", labels=[0, None, 1])
    assert refused(path) == f"{path}: row 1 has no label, expected a number in label"
    rows = [{"bytes": png(1), "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    pyarrow.parquet.write_table(pyarrow.table({"image": rows, "label": [0, 0]}), path)
    assert refused(path) == f"{path}: row 1: found no bytes of a picture under image, only the path b.png"


def test_a_row_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": [png(1), b"hello"], "label": [0, 0]}), path)
    assert refused(path).startswith(f"{path}: row 1: is no picture that can be read, expected AVIF, ")


def test_no_rows_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    path = tmp_path / "test.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(tmp_path / "train.parquet").slice(0, 0), path)
    assert refused(tmp_path) == f"{path}: found no rows for the test part, expected at least one"


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"hello" * 20, b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_what_is_no_parquet_inside_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(raw)
    message = refused(path)
    assert message.startswith(f"{path}: cannot be read: ")
    assert "\n" not in message


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path).startswith(f"{path}: cannot be read: ")


def test_more_rows_than_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    image = pyarrow.array([b""] * 200_000)
    table = pyarrow.table({"image": image, "label": pyarrow.array(np.zeros(200_000, np.int64))})
    pyarrow.parquet.write_table(table, path)
    assert refused(path) == f"{path}: claims 200,000 rows, found {path.stat().st_size:,} bytes"
