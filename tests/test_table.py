from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import kept
from numpy.typing import NDArray

from stepladder.data import DataError, emnist
from stepladder.data.found import Found
from stepladder.data.table import read, read_unlabelled

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.integers(0, 256, (5, 3, 3)), np.array([0, 1, 2, 1, 0])
PIXELS = [f"pixel{place}" for place in range(9)]


def write(path: Path, rows: Any, header: Sequence[str] = (), end: str = "\n") -> Path:
    lines = [",".join(map(str, row)) for row in ([header] if header else []) + [list(row) for row in rows]]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def labelled(images: NDArray[Any] = X, labels: Any = Y, last: bool = False) -> list[list[Any]]:
    """A row for each image, its label before its pixels or after them."""
    rows = zip(images.reshape(len(images), -1).tolist(), list(labels), strict=True)
    return [[*row, label] if last else [label, *row] for row, label in rows]


def readable(path: Path) -> Found:
    return kept(read(path))


def is_x(found: Found) -> bool:
    return np.array_equal(found.train.images[:, 0], X) and found.train.labels.tolist() == Y.tolist()


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


# Columns


@pytest.mark.parametrize("name", ["label", "Label", "LABEL", "class", "target", "y", '"label"', " label "])
def test_the_label_is_found_by_the_header(tmp_path: Path, name: str) -> None:
    found = readable(write(tmp_path / "train.csv", labelled(), [name, *PIXELS]))
    assert is_x(found)
    assert (found.kind, found.test, found.names, found.remarks) == ("CSV", None, None, ())


@pytest.mark.parametrize("name", ["digit", "Letter", "emotion"])
def test_of_other_names_the_only_one_without_a_number_is_the_labels(tmp_path: Path, name: str) -> None:
    assert is_x(readable(write(tmp_path / "train.csv", labelled(), [name, *PIXELS])))
    assert is_x(readable(write(tmp_path / "last.csv", labelled(last=True), [*PIXELS, name])))
    (tmp_path / "two").mkdir()
    write(tmp_path / "two" / "train.csv", [[0, *row] for row in labelled()], ["usage", name, *PIXELS])
    assert read(tmp_path / "two") is None


def test_the_label_may_be_the_last_column(tmp_path: Path) -> None:
    assert is_x(readable(write(tmp_path / "set.csv", labelled(last=True), [*PIXELS, "label"])))


def test_without_a_header_the_first_column_is_the_label(tmp_path: Path) -> None:
    assert is_x(readable(write(tmp_path / "mnist_train.csv", labelled())))


@pytest.mark.parametrize("header", [["id", "label", *PIXELS], ["", *PIXELS, "label"]])
def test_an_index_is_passed_over(tmp_path: Path, header: list[str]) -> None:
    rows = [[1000 + k, *row] for k, row in enumerate(labelled(last=header[-1] == "label"))]
    assert is_x(readable(write(tmp_path / "train.csv", rows, header)))


@pytest.mark.parametrize("index", [True, False])
def test_columns_that_pandas_has_numbered_are_no_row(tmp_path: Path, index: bool) -> None:
    header = [*([""] if index else []), *map(str, range(10))]
    rows = [[*([k] if index else []), *row] for k, row in enumerate(labelled())]
    assert is_x(readable(write(tmp_path / "train.csv", rows, header)))


def test_colour_is_pixel_by_pixel(tmp_path: Path) -> None:
    colour = RANDOM.integers(0, 256, (5, 2, 2, 3))
    header = [*(f"pixel{place:04}" for place in range(12)), "label"]
    path = write(tmp_path / "hmnist_2_2_RGB.csv", labelled(colour, last=True), header)
    found = readable(path)
    np.testing.assert_array_equal(found.train.images, colour.transpose(0, 3, 1, 2))
    assert found.remarks == (f"{path}: its 12 columns were taken as red, green and blue of each pixel in turn",)


@pytest.mark.parametrize(
    ("end", "before"), [("\r\n", ""), ("\n", "\ufeff"), ("\n\n", ""), ("\r\n", "\ufeff")], ids=["dos", "mark", "blank", "both"]
)
@pytest.mark.parametrize("header", [True, False])
def test_what_editors_leave_is_read(tmp_path: Path, end: str, before: str, header: bool) -> None:
    path = write(tmp_path / "train.csv", labelled(), ["label", *PIXELS] if header else [], end)
    path.write_bytes(before.encode() + path.read_bytes())
    assert is_x(readable(path))


def test_quoted_and_spaced_cells_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [[f'"{cell}"' for cell in row] for row in labelled()], ['"label"', *PIXELS])
    assert is_x(readable(path))
    path.write_text(path.read_text().replace('"', " "))
    assert is_x(readable(path))


@pytest.mark.parametrize("header", [True, False])
def test_words_are_names_of_classes(tmp_path: Path, header: bool) -> None:
    rows = labelled(labels=["dog", "cat", "ant", "cat", "dog"])
    found = readable(write(tmp_path / "train.csv", rows, ["label", *PIXELS] if header else []))
    assert found.names == ("ant", "cat", "dog")
    assert found.train.labels.tolist() == [2, 1, 0, 1, 2]


def test_whole_numbers_with_a_point_are_levels_and_labels(tmp_path: Path) -> None:
    assert is_x(readable(write(tmp_path / "train.csv", [[float(cell) for cell in row] for row in labelled()])))


def test_fractions_become_levels_and_a_remark_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [[row[0], *(cell / 255 for cell in row[1:])] for row in labelled()])
    found = readable(path)
    assert is_x(found)
    assert found.remarks == (f"{path}: fractions from 0 to 1 were multiplied by 255 and rounded",)


# Parts


@pytest.mark.parametrize(
    "names",
    [("train.csv", "test.csv"), ("fashion-mnist_train.csv", "fashion-mnist_test.csv"), ("Train.CSV", "TEST.CSV")],
)
@pytest.mark.parametrize("by_file", [True, False])
def test_a_test_file_beside_it_is_the_test_part(tmp_path: Path, names: tuple[str, str], by_file: bool) -> None:
    write(tmp_path / names[0], labelled(), ["label", *PIXELS])
    write(tmp_path / names[1], labelled()[:2], ["label", *PIXELS])
    found = readable(tmp_path / names[0] if by_file else tmp_path)
    assert is_x(found)
    assert found.test
    assert found.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("word", ["valid", "val", "validation"])
def test_a_validation_file_is_the_validation_part(tmp_path: Path, word: str) -> None:
    write(tmp_path / "train.csv", labelled())
    write(tmp_path / f"{word}.csv", labelled()[:2])
    found = readable(tmp_path)
    assert found.validation
    assert found.validation.labels.tolist() == [0, 1]


def test_a_test_file_without_labels_is_passed_over_and_a_remark_says_so(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", labelled(), ["label", *PIXELS])
    write(tmp_path / "test.csv", X.reshape(5, -1), PIXELS)
    write(tmp_path / "sample_submission.csv", [[1, 0]], ["ImageId", "Label"])
    found = readable(tmp_path)
    assert is_x(found)
    assert found.test is None
    assert found.remarks == (f"{tmp_path / 'test.csv'}: passed over, it has no labels: it is for `stepladder predict`",)


def test_a_file_of_no_part_beside_others_is_passed_over_and_a_remark_says_so(tmp_path: Path) -> None:
    for name in ("train.csv", "Dig-MNIST.csv"):
        write(tmp_path / name, labelled(), ["label", *PIXELS])
    write(tmp_path / "test.csv", labelled(), ["label", *PIXELS])
    assert readable(tmp_path).remarks == (f"{tmp_path / 'Dig-MNIST.csv'}: passed over, its name tells no part",)


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "digits.csv", labelled())
    assert is_x(readable(tmp_path))


def test_of_several_sets_the_one_of_the_file_is_read(tmp_path: Path) -> None:
    for name in ("mnist_test.csv", "mnist_train.csv", "mnist_train_100.csv"):
        write(tmp_path / name, labelled())
    assert refused(tmp_path) == (
        f"{tmp_path}: found 2 training files (mnist_train.csv, mnist_train_100.csv), expected one: give the path of one"
    )
    assert readable(tmp_path / "mnist_train.csv").test
    assert readable(tmp_path / "mnist_train_100.csv").test is None


def test_several_files_of_no_part_are_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, labelled())
    assert refused(tmp_path) == f"{tmp_path}: found a.csv, b.csv, expected one with `train` in its name: give the path of one"
    assert is_x(readable(tmp_path / "b.csv"))


def test_emnists_tables_are_put_upright(tmp_path: Path) -> None:
    write(tmp_path / "emnist-letters-train.csv", labelled(X.transpose(0, 2, 1), Y + 1))
    found = readable(tmp_path)
    assert is_x(found)
    assert (found.kind, found.remarks) == ("EMNIST letters, CSV", (emnist.REMARK,))
    assert found.names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_words_in_the_place_of_emnists_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "emnist-letters-train.csv", labelled(labels=list("badge")))
    assert refused(tmp_path) == f"{path}: found 'a' as label, expected a number from 1 to 26 (letters)"


def test_files_of_other_columns_are_of_another_format(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [["a.png", "cat"], ["b.png", "dog"]], ["file", "label"])
    assert read(tmp_path) is None
    assert refused(tmp_path / "train.csv") == (
        f"{tmp_path / 'train.csv'}: found 2 columns in its first line, expected a square number of pixels, or three times as many "
        "for colour (28 x 28 are 784 or 2352), beside the label"
    )
    (tmp_path / "notes.txt").touch()
    assert read(tmp_path / "notes.txt") is None


# What does not fit


@pytest.mark.parametrize(
    ("cell", "found"), [("256", "'256'"), ("-1", "'-1'"), ("ten", "'ten'"), ("", "nothing"), ("1_0", "'1_0'"), ("nan", "'nan'")]
)
@pytest.mark.parametrize("header", [True, False])
def test_a_cell_that_is_no_level_is_named(tmp_path: Path, cell: str, found: str, header: bool) -> None:
    rows = labelled()
    rows[3][5] = cell
    path = write(tmp_path / "train.csv", rows, ["label", *PIXELS] if header else [])
    column = "'pixel4'" if header else "6"
    assert refused(path) == f"{path}: line {4 + header}: found {found} in column {column}, expected a whole number from 0 to 255"


def test_a_number_that_is_far_too_large_is_refused_with_the_range(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [[1, *[0] * 8, "9" * 5000]])
    assert refused(path).startswith(f"{path}: found float32 values from 0 to inf, expected whole numbers from 0 to 255")


@pytest.mark.parametrize(("cell", "found"), [("ten", "'ten'"), ("", "nothing"), ("nan", "'nan'")])
def test_a_cell_that_is_no_number_is_named_among_fractions_too(tmp_path: Path, cell: str, found: str) -> None:
    rows: list[list[Any]] = [[row[0], *(value / 255 for value in row[1:])] for row in labelled()]
    rows[4][9] = cell
    path = write(tmp_path / "train.csv", rows)
    assert refused(path) == f"{path}: line 5: found {found} in column 10, expected a whole number from 0 to 255"


@pytest.mark.parametrize("columns", [9, 11])
@pytest.mark.parametrize("header", [True, False])
def test_a_row_of_another_length_is_named(tmp_path: Path, columns: int, header: bool) -> None:
    rows = labelled()
    rows[2] = [*rows[2], 7][:columns]
    path = write(tmp_path / "train.csv", rows, ["label", *PIXELS] if header else [])
    assert refused(path) == f"{path}: line {3 + header}: found {columns} columns, expected 10 as in its first line"


@pytest.mark.parametrize("label", ["256", "-1", "cat", "", "0.5", "nan", "1e300", "9" * 30])
def test_a_label_that_is_no_class_is_named(tmp_path: Path, label: str) -> None:
    path = write(tmp_path / "train.csv", labelled(labels=[0, 1, label, 1, 0]), ["label", *PIXELS])
    assert refused(path) == f"{path}: line 4: found {label!r} as label, expected a class from 0 to 255"


def test_a_file_without_labels_is_for_predictions(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", X.reshape(5, -1), PIXELS)
    assert refused(path) == (
        f"{path}: found no label among its 9 columns, expected one called label, labels, class, target, y, or before the pixels: "
        "a file without labels is for `stepladder predict`"
    )


def test_no_rows_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", [], ["label", *PIXELS])
    assert refused(path) == f"{path}: found no rows of pixels, expected at least one"


def test_parts_of_other_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", labelled())
    path = write(tmp_path / "test.csv", labelled(X[:, :2, :2]))
    assert refused(tmp_path) == f"{path}: its images are 2 x 2, expected 3 x 3 as in train.csv"


# Without labels


@pytest.mark.parametrize("header", [True, False])
def test_images_without_labels_are_read(tmp_path: Path, header: bool) -> None:
    found = read_unlabelled(write(tmp_path / "test.csv", X.reshape(5, -1), PIXELS if header else []))
    np.testing.assert_array_equal(found, X[:, None].astype(np.uint8), strict=True)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("header", [True, False])
def test_of_images_with_labels_these_are_passed_over(tmp_path: Path, header: bool) -> None:
    path = write(tmp_path / "train.csv", labelled(labels=["a"] * 5 if header else Y), ["label", *PIXELS] if header else [])
    np.testing.assert_array_equal(read_unlabelled(path), X[:, None])


def test_grey_images_are_seen_before_labels_and_colour(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", RANDOM.integers(0, 256, (2, 49)))
    assert read_unlabelled(path).shape == (2, 1, 7, 7)


@pytest.mark.parametrize("columns", [1, 2, 3, 8, 47])
def test_columns_that_are_no_image_are_refused(tmp_path: Path, columns: int) -> None:
    path = write(tmp_path / "test.csv", np.zeros((2, columns), int))
    with pytest.raises(DataError, match=f"found {columns} columns in its first line, expected a square number of pixels"):
        read_unlabelled(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_unlabelled(tmp_path / "test.csv")
    assert str(error.value) == f"{tmp_path / 'test.csv'}: file not found"
