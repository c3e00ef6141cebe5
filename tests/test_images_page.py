"""docs/images.md: its commands run, and what it quotes is what is printed."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import stepladder
from PIL import Image

PAGE = (Path(__file__).parents[1] / "docs" / "images.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("in_process")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


DRAWING, LADDER, _ = blocks("python")
SHOWN, RAN, REFUSALS = map(lines, blocks("text"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs and the ladder of the page."""
    made = tmp_path_factory.mktemp("page")
    subprocess.run([sys.executable, "-c", DRAWING], cwd=made, check=True)
    (made / "shapes.py").write_text(LADDER)
    return made


def test_what_lies_there_is_printed_as_quoted(folder: Path) -> None:
    done = stepladder("data", "photos", "--output", "sheet.png", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(done.stdout) == SHOWN
    assert (folder / "sheet.png").exists()


def test_each_command_runs_as_printed_and_one_after_the_other(folder: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    ran = set()
    for command in commands:
        name, *arguments = shlex.split(command.replace("--seeds 8", "--seeds 2"), comments=True)[1:]
        quick = ["--epochs", "1"] if name != "data" else []
        done = stepladder(name, *arguments, *quick, folder=folder)
        assert done.returncode in ((1, 3) if name == "check" else (0,)), (command, done.stderr)
        assert name != "run" or {"3,318", "11,814"} <= set(done.stdout.split())
        ran.add(name)
    assert ran == {"data", "run", "check", "predict"}
    assert [line for line in RAN if line.startswith("wrote")] == [
        f"wrote runs/shapes/{name}" for name in ("report.json", "report.md", "report.html", "missed.json")
    ]
    assert {"3,318", "11,814"} <= set(" ".join(RAN).split())
    assert len((folder / "answers.csv").read_text().splitlines()) == 601


def test_the_kept_images_may_be_deleted_and_are_made_again(folder: Path) -> None:
    data = ("shapes.py", "--data", "photos", "--split", "0.2", "--runs", "others", "--epochs", "1")
    for seeds in ("1", "2"):
        assert stepladder("run", *data, "--steps", "plain", "--seeds", seeds, folder=folder).returncode == 0
        shutil.rmtree(folder / "others" / ".data")
    assert stepladder("report", *data, folder=folder).returncode == 0
    assert not (folder / "others" / ".data").exists()


# What is refused


def picture(path: Path, height: int = 8, width: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (200, 10, 10)).save(path)


def photos(folder: Path, *parts: str) -> Path:
    """A folder of two classes, four pictures each, for each part."""
    for name in ("a", "b"):
        for number in range(4):
            for part in parts or (".",):
                picture(folder / "photos" / part / name / f"{number}.png")
    return folder / "photos"


def sizes(folder: Path) -> None:
    picture(photos(folder) / "b" / "5.png", 5, 7)


def text(folder: Path) -> None:
    (photos(folder) / "b" / "notes.txt").write_text("red")


def empty(folder: Path) -> None:
    (photos(folder) / "c").mkdir()


def unknown(folder: Path) -> None:
    picture(photos(folder, "train") / "test" / "c" / "0.png")


def objects(folder: Path) -> None:
    np.savez(folder / "own.npz", x_train=np.array([{}] * 3, object), y_train=np.arange(3))


def classes(folder: Path) -> None:
    np.savez(folder / "own.npz", x_train=np.zeros((300, 8, 8), np.uint8), y_train=np.arange(300))


def level(folder: Path) -> None:
    header = ",".join(["label", *(f"pixel{number}" for number in range(64))])
    (folder / "train.csv").write_text(f"{header}\n{','.join(['1'] * 64)},999\n")


def no_test(folder: Path) -> None:
    photos(folder)


def small(folder: Path) -> None:
    for part in ("train", "test"):
        picture(photos(folder, part) / part / "c" / "0.png")


REFUSED: list[tuple[Callable[[Path], None], list[str]]] = [
    *((made, ["data", "photos"]) for made in (sizes, text, empty, unknown)),
    *((made, ["data", "own.npz"]) for made in (objects, classes)),
    (level, ["data", "train.csv"]),
    *((made, ["run", "shapes.py", "--data", "photos"]) for made in (no_test, small)),
]


@pytest.mark.parametrize(("case", "quoted"), list(zip(REFUSED, REFUSALS, strict=True)))
def test_what_is_refused_is_said_as_quoted(case: tuple[Callable[[Path], None], list[str]], quoted: str, tmp_path: Path) -> None:
    make, command = case
    make(tmp_path)
    (tmp_path / "shapes.py").write_text(LADDER)
    done = stepladder(*command, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"stepladder: {quoted}\n")
