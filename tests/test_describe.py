"""What `stepladder data` tells of a data set, and the contact sheet it draws."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import stepladder
from conftest import write_idx_folder
from PIL import Image

from stepladder.data import Found, Part
from stepladder.data.describe import Twin, contact_sheet, describe, twins


def part(images: list[int], labels: list[int], channels: int = 1) -> Part:
    """Images of 2 x 3 that have one level each."""
    levels = np.array(images, np.uint8)[:, None, None, None]
    return Part(np.ascontiguousarray(np.broadcast_to(levels, (len(images), channels, 2, 3))), np.array(labels, np.uint8))


def test_images_are_counted_by_class_and_part() -> None:
    found = Found("drawn", part([1, 2, 3], [0, 1, 1]), part([4], [2]), part([5, 6], [0, 0]), ("a", "b", "c"), ("so.",))
    told = describe(found)
    assert told["images"] == {"train": 3, "validation": 2, "test": 1}
    assert told["counts"] == {"train": [1, 2, 0], "validation": [2, 0, 0], "test": [0, 0, 1]}
    assert (told["kind"], told["classes"], told["input"], told["remarks"]) == ("drawn", ["a", "b", "c"], [1, 2, 3], ["so."])


def test_classes_that_are_only_numbered_reach_to_the_largest_label_of_any_part() -> None:
    assert describe(Found("drawn", part([1, 2], [0, 1]), part([3], [4])))["classes"] == list("01234")


def test_test_images_that_are_training_images_are_found_with_the_first_of_them() -> None:
    assert twins(part([7, 8, 7], [0, 1, 2]), part([9, 7, 8, 7], [0, 0, 1, 3])) == [
        Twin(1, 0, 0, 0),
        Twin(2, 1, 1, 1),
        Twin(3, 0, 3, 0),
    ]


def test_images_that_differ_in_one_level_are_no_twins() -> None:
    train, test = part([7], [0]), part([7], [0])
    test.images[0, 0, 1, 2] += 1
    assert twins(train, test) == []


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_contact_sheet_has_ten_images_a_class_in_rows(channels: int, mode: str) -> None:
    levels = list(range(100, 115)) + [40] * 3
    sheet = contact_sheet(part(levels, [0] * 15 + [1] * 3, channels), ("many", "few"))
    assert sheet.mode == mode
    shown = dict(enumerate(np.bincount(np.asarray(sheet.convert("L")).ravel(), minlength=256).tolist()))
    scale = 48 // 2
    assert {level for level in shown if 100 <= level < 115 and shown[level] >= 6 * scale**2} == set(range(100, 110))
    assert shown[40] >= 3 * 6 * scale**2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4), np.uint8)
    labels = np.arange(12, dtype=np.uint8) % 3
    return write_idx_folder(tmp_path / "source", [images, labels, images[:5], labels[::-1][:5].copy()])


def test_the_command_prints_a_line_a_class_and_names_twins(source: Path, tmp_path: Path) -> None:
    done = stepladder("data", str(source), "--output", str(tmp_path / "sheet.png"))
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == f"{source}: IDX files, images of 1 x 4 x 4 (channels x height x width), 3 classes"
    told = [line.split() for line in lines if line.strip()][:6]
    assert told == [
        ["class", "train", "test"], ["─" * len(lines[2].strip())],
        ["0", "4", "1"], ["1", "4", "2"], ["2", "4", "2"], ["total", "12", "5"],
    ]  # fmt: skip
    assert "5 of 5 test images are training images as well, pixel for pixel." in lines
    assert "  test image 0 (2) is training image 0, there labelled 0" in lines
    assert "  test image 1 (1) is training image 1" in lines
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[1] == 4 + 3 * (48 + 4)
    assert lines[-1] == f"wrote {tmp_path / 'sheet.png'}"


def test_what_data_hold_is_told_before_a_picture_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = stepladder("data", str(source), "-o", str(tmp_path / "file" / "sheet.png"))
    assert done.returncode == 2
    assert "3 classes" in done.stdout
    assert stepladder("data", str(source), "-o", str(tmp_path / "new" / "sheet.png")).returncode == 0
    assert (tmp_path / "new" / "sheet.png").exists()


def test_the_command_gives_data(source: Path) -> None:
    done = stepladder("data", str(source), "--json")
    assert json.loads(done.stdout)["counts"] == {"train": [4, 4, 4], "test": [1, 2, 2]}


def test_the_embedded_images_are_looked_at_without_a_path(tmp_path: Path) -> None:
    done = stepladder("data", folder=tmp_path)
    assert (tmp_path / "contact-sheet.png").exists()
    assert done.stdout.startswith("mnist: IDX files, images of 1 x 28 x 28 (channels x height x width), 10 classes\n")
    assert "0 of 10,000 test images are training images as well" in done.stdout


def test_without_a_test_part_it_says_how_to_make_one(source: Path) -> None:
    np.savez(source / "own.npz", images=np.zeros((4, 5, 5), np.uint8), labels=np.array([0, 0, 1, 1]))
    done = stepladder("data", str(source / "own.npz"), folder=source)
    assert "It has no test part: `stepladder run LADDER --data ... --split 0.2` makes a fifth of the images one." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "gone: no such file or folder"),
        (["--output", "sheet.jpg"], "sheet.jpg: a contact sheet is a PNG, expected a name that ends in .png"),
        (["--size", "28"], "--size is '28', expected height x width in pixels, as 28x28"),
        (["--size", "0x9"], "size is (0, 9), expected (height, width) of 1 to 4,096 pixels"),
        (["--channels", "2"], "channels is 2, expected 1 (grey) or 3 (colour)"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = stepladder("data", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stepladder: {message}")
    assert done.stderr.count("\n") == 1
