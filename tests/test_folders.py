"""Folders of pictures: which class and part each picture is of."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stepladder.data import DataError
from stepladder.data.folders import read, read_unlabelled
from stepladder.data.found import Found, Part


def picture(path: Path, level: int | tuple[int, int, int] = 0, size: tuple[int, int] = (3, 2)) -> None:
    """A picture of one level or colour, `size` wide and high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(level, int) else "RGB", size, level).save(path)


def pictures(folder: Path, *names: str) -> Path:
    """Pictures of these names, whose levels count from 1."""
    for k, name in enumerate(names):
        picture(folder / name, k + 1)
    return folder


def found(folder: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found:
    result = read(folder, size, channels)
    assert result is not None
    return result


def shown(part: Part | None) -> list[tuple[int, int]]:
    """The level and label of each picture."""
    assert part is not None
    assert part.images.dtype == part.labels.dtype == np.uint8
    assert part.images.flags.c_contiguous
    return list(zip(part.images[:, 0, 0, 0].tolist(), part.labels.tolist(), strict=True))


def refused(folder: Path, size: tuple[int, int] | None = None) -> str:
    with pytest.raises(DataError) as error:
        read(folder, size)
    return str(error.value)


# Parts and classes


def test_parts_and_classes_are_the_folders_names(tmp_path: Path) -> None:
    pictures(tmp_path, "train/cat/a.png", "train/ant/b.png", "train/ant/a.png", "test/ant/x.png", "valid/cat/y.png")
    read_ = found(tmp_path)
    assert read_.kind == "folders of pictures"
    assert read_.names == ("ant", "cat")
    assert shown(read_.train) == [(3, 0), (2, 0), (1, 1)]
    assert shown(read_.test) == [(4, 0)]
    assert shown(read_.validation) == [(5, 1)]
    assert read_.train.images.shape == (3, 1, 2, 3)


@pytest.mark.parametrize(("test", "validation"), [("Test", "VAL"), ("testing", "validation"), ("TEST", "Valid")])
def test_parts_have_several_names_in_any_case(tmp_path: Path, test: str, validation: str) -> None:
    pictures(tmp_path, "Training/a/1.png", f"{test}/a/1.png", f"{validation}/a/1.png")
    read_ = found(tmp_path)
    assert (shown(read_.train), shown(read_.test), shown(read_.validation)) == ([(1, 0)], [(2, 0)], [(3, 0)])


def test_folders_of_classes_alone_are_for_training(tmp_path: Path) -> None:
    read_ = found(pictures(tmp_path, "cat/1.png", "ant/1.png"))
    assert shown(read_.train) == [(2, 0), (1, 1)]
    assert read_.test is None
    assert read_.validation is None


def test_classes_that_are_whole_numbers_are_in_their_order(tmp_path: Path) -> None:
    read_ = found(pictures(tmp_path, "10/a.png", "9/a.png", "0/a.png"))
    assert read_.names == ("0", "9", "10")
    assert shown(read_.train) == [(3, 0), (2, 1), (1, 2)]


def test_classes_of_which_one_is_no_number_are_in_the_order_of_their_characters(tmp_path: Path) -> None:
    assert found(pictures(tmp_path, "10/a.png", "9/a.png", "b/a.png", "B/a.png")).names == ("10", "9", "B", "b")


def test_pictures_of_a_class_are_in_natural_order_those_in_folders_last(tmp_path: Path) -> None:
    pictures(tmp_path, "a/deep/0.png", "a/10.png", "a/2.png", "a/b10/x.png", "a/b9/x.png", "b/1.png")
    assert shown(found(tmp_path).train) == [(3, 0), (2, 0), (5, 0), (4, 0), (1, 0), (6, 1)]


def test_a_class_missing_from_test_shifts_no_label(tmp_path: Path) -> None:
    read_ = found(pictures(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "test/c/1.png"))
    assert shown(read_.test) == [(4, 2)]
    assert read_.remarks == ("test has no pictures of a, b",)


def test_a_class_that_training_has_not_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a/1.png", "train/b/1.png", "test/c/1.png")
    assert refused(tmp_path) == f"{tmp_path / 'test' / 'c'}: found a class that training has not, expected one of a, b"


@pytest.mark.parametrize("empty", ["train/b", "test/b"])
def test_an_empty_class_folder_is_refused(tmp_path: Path, empty: str) -> None:
    pictures(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png")
    (tmp_path / "train" / "b" / "1.png").unlink()
    if empty == "test/b":
        picture(tmp_path / "train" / "b" / "1.png")
    (tmp_path / empty).mkdir(exist_ok=True)
    (tmp_path / empty / ".DS_Store").touch()
    assert refused(tmp_path) == f"{tmp_path / empty}: found an empty class folder, expected pictures"


def test_a_test_folder_is_no_class(tmp_path: Path) -> None:
    pictures(tmp_path, "cat/1.png", "dog/1.png", "test/cat/1.png")
    assert refused(tmp_path) == f"{tmp_path}: found a folder test and none for training, expected one named train"


def test_parts_may_be_words_of_names_and_lie_in_folders_called_alike(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"seg_{part}/seg_{part}/{name}/1.png" for part in ("train", "test") for name in ("sea", "street")))
    picture(tmp_path / "seg_pred" / "seg_pred" / "1.png")
    (tmp_path / "seg_train" / "notes.txt").touch()
    read_ = found(tmp_path)
    assert read_.names == ("sea", "street")
    assert shown(read_.train) == [(1, 0), (2, 1)]
    assert shown(read_.test) == [(3, 0), (4, 1)]
    assert read_.remarks == (
        "passed over folders beside seg_train: seg_pred",
        f"passed over files that lie in no class folder: {Path('seg_train/notes.txt')}",
    )
    # Of a test part without classes there are no labels, wherever its pictures lie.
    pictures(tmp_path / "b", "set train/a/1.png", "set train/b/1.png", "set test/set test/1.png")
    assert found(tmp_path / "b").names == ("a", "b")
    assert found(tmp_path / "b").test is None


def test_a_class_may_have_the_word_of_a_part_in_its_name(tmp_path: Path) -> None:
    pictures(tmp_path, "test tube/1.png", "freight train/1.png", "valid_coin/1.png", "freight train/more/2.png")
    assert found(tmp_path).names == ("freight train", "test tube", "valid_coin")


def test_trains_may_be_a_class(tmp_path: Path) -> None:
    assert found(pictures(tmp_path, "bus/1.png", "train/1.png")).names == ("bus", "train")


def test_a_test_part_without_classes_is_passed_over(tmp_path: Path) -> None:
    read_ = found(pictures(tmp_path, "train/a/1.png", "test/1.png", "test/2.png"))
    assert read_.test is None
    assert read_.remarks == (
        f"passed over files that lie in no class folder: {Path('test/1.png')}, {Path('test/2.png')}",
        "test has no class folders, so that its pictures, if any, have no labels",
    )


def test_training_needs_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "train/1.png", "test/a/1.png")
    assert refused(tmp_path) == f"{tmp_path / 'train'}: found no folders in it, expected one for each class"


def test_two_folders_of_one_part_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "val/a/1.png", "valid/a/1.png", "train/a/1.png")
    assert refused(tmp_path) == f"{tmp_path}: found val and valid, expected one folder for validation"


def test_256_classes_are_read_and_257_refused(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{k}/x.png" for k in range(255)))
    picture(tmp_path / "255" / "x.png")
    read_ = found(tmp_path)
    assert read_.train.labels.tolist() == list(range(256))
    picture(tmp_path / "256" / "x.png")
    assert refused(tmp_path) == f"{tmp_path}: found 257 class folders, expected 256 at most"


@pytest.mark.parametrize(
    "layout", [(), ("a.png", "b.png"), ("only/a.png",), ("train/a.png", "test/b.png"), ("a/notes.txt", "b/x.csv")]
)
def test_what_has_no_pictures_in_class_folders_is_another_format(tmp_path: Path, layout: tuple[str, ...]) -> None:
    for name in layout:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read(tmp_path) is None


def test_a_file_and_nothing_are_another_format(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    assert read(tmp_path / "x.png") is None
    assert read(tmp_path / "y") is None


# What else lies there


def test_hidden_files_and_folders_are_passed_over_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "a/1.png", "b/1.png", ".ipynb_checkpoints/1.png", "a/.ipynb_checkpoints/1.png", "__MACOSX/a/1.png")
    (tmp_path / "a" / "Thumbs.db").touch()
    (tmp_path / ".DS_Store").touch()
    read_ = found(tmp_path)
    assert shown(read_.train) == [(1, 0), (2, 1)]
    expected = ", ".join([".DS_Store", ".ipynb_checkpoints", "__MACOSX"])
    assert read_.remarks == (f"passed over what is hidden: {expected} and 2 more",)


def test_files_and_folders_beside_are_passed_over_and_said(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a/1.png", "docs/1.png", "train/1.png")
    assert found(tmp_path).remarks == (
        "passed over folders beside train: docs",
        f"passed over files that lie in no class folder: {Path('train/1.png')}",
    )
    (tmp_path / "train" / "README.md").touch()
    assert found(tmp_path / "train" / "..").remarks[0] == "passed over folders beside train: docs"


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    pictures(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b" / "notes.txt").write_text("seen in the garden")
    assert refused(tmp_path).startswith(f"{tmp_path / 'b' / 'notes.txt'}: is no picture that can be read, expected AVIF, ")


def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    try:
        pictures(tmp_path, "a/1.png", "b\n/1.png")
    except OSError:
        pytest.skip("this file system has no such names")
    assert refused(tmp_path) == f"{str(tmp_path / 'b') + chr(10)!r}: its name cannot be shown, expected the name of a class"


# Size and colour


def test_two_sizes_are_refused_across_parts_unless_one_is_given(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a/1.png", "train/b/1.png")
    picture(tmp_path / "test" / "a" / "1.png", 9, (4, 5))
    assert refused(tmp_path) == (
        f"{tmp_path / 'test' / 'a' / '1.png'}: its picture is 5 x 4 (height x width), "
        f"expected 2 x 3 as in {tmp_path / 'train' / 'a' / '1.png'}, unless they are resized (--size HxW)"
    )
    read_ = found(tmp_path, (7, 6))
    assert read_.train.images.shape == (2, 1, 7, 6)
    assert shown(read_.test) == [(9, 0)]


def test_all_parts_have_colour_where_a_picture_of_one_has(tmp_path: Path) -> None:
    pictures(tmp_path, "train/a/1.png", "train/b/1.png")
    picture(tmp_path / "train" / "b" / "2.png", (7, 7, 7))
    assert found(tmp_path).train.images.shape == (3, 1, 2, 3)
    picture(tmp_path / "test" / "b" / "2.png", (7, 8, 7))
    read_ = found(tmp_path)
    assert read_.train.images.shape == (3, 3, 2, 3)
    assert read_.test is not None
    assert read_.test.images[0, :, 0, 0].tolist() == [7, 8, 7]


def test_channels_may_be_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path, "a/1.png", "b/1.png")
    assert found(tmp_path, channels=3).train.images.shape == (2, 3, 2, 3)
    picture(tmp_path / "a" / "2.png", (255, 0, 0))
    assert shown(found(tmp_path, channels=1).train) == [(1, 0), (76, 0), (2, 1)]


# Links and what cannot be read


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_are_followed_and_a_loop_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "else/1.png", "data/a/1.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "else")
    assert shown(found(tmp_path / "data").train) == [(2, 0), (1, 1)]
    (tmp_path / "else" / "up").symlink_to(tmp_path / "else")
    loop = tmp_path / "data" / "b" / "up"
    assert refused(tmp_path / "data") == f"{loop}: is a link back to a folder that it lies in, expected pictures or folders of them"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
@pytest.mark.parametrize(
    ("target", "message"), [("nowhere", "No such file or directory"), ("1.png", "Too many levels of symbolic links")]
)
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, target: str, message: str) -> None:
    pictures(tmp_path, "a/0.png", "b/0.png")
    (tmp_path / "b" / "1.png").symlink_to(target)
    assert refused(tmp_path) == f"{tmp_path / 'b' / '1.png'}: cannot be read: {message}"


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "a/1.png", "b/1.png")
    names = os.listdir

    def deny(path: Path) -> list[str]:
        if path.name == "b":
            raise PermissionError(13, "Permission denied")  # a mode would not bind root
        return names(path)

    monkeypatch.setattr(os, "listdir", deny)
    assert refused(tmp_path) == f"{tmp_path / 'b'}: cannot be read: Permission denied"


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    assert read(Path("a\0b")) is None
    assert refused(tmp_path / ("x" * 300)).endswith("x: cannot be read: File name too long")


# Without labels


def test_pictures_without_labels_come_with_their_names_in_natural_order(tmp_path: Path) -> None:
    pictures(tmp_path, "10.png", "9.png", "b/1.png", ".hidden.png")
    names, images = read_unlabelled(tmp_path)
    assert names == ["9.png", "10.png", str(Path("b/1.png"))]
    assert images[:, 0, 0, 0].tolist() == [2, 1, 3]


def test_files_without_labels_come_as_they_were_given(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", "c/d.png")
    given = [tmp_path / "b.png", tmp_path / "a.png", tmp_path / "c"]
    names, images = read_unlabelled(given, (5, 4), 3)
    assert names == [str(given[0]), str(given[1]), "d.png"]
    assert images.shape == (3, 3, 5, 4)
    assert images[:, 2, 4, 3].tolist() == [2, 1, 3]


def test_no_pictures_without_labels_and_missing_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_unlabelled(tmp_path)
    assert str(error.value) == f"{tmp_path}: found no pictures, expected at least one"
    with pytest.raises(DataError) as error:
        read_unlabelled([tmp_path / "x.png"])
    assert str(error.value) == f"{tmp_path / 'x.png'}: cannot be read: No such file or directory"
