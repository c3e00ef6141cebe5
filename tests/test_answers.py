"""New images answered by a recorded run."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import stepladder
from PIL import Image
from test_formats import drawn, keras, pictures

import stepladder as sl
from stepladder.lab.answers import Answer, answer, write

pytestmark = pytest.mark.usefixtures("in_process")

LADDER = """
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, MaxPool, Network, Recipe, Step

network = Network([Conv(8), MaxPool(2), Conv(12), Conv(10, kernel=1, activation=None), GlobalAvgPool()], input=(3, 16, 16))
plain = Step("Plain", network, Recipe(epochs=1, batch_size=30, learning_rate=0.02))
ladder = Ladder("answers", Budget(parameters=5_000, epochs=1, accuracy=0.5, hold=1), [plain])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder's file, colour images in an archive, the same as pictures, and two runs."""
    made = tmp_path_factory.mktemp("answers")
    (made / "own.py").write_text(LADDER)
    keras(made / "data", drawn(3, 16, 16))
    pictures(made / "photos", drawn(3, 16, 16))
    done = stepladder("run", "own.py", "--data", "data/own.npz", "--seeds", "2", folder=made)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "data/own.npz: Keras archive: 90 training and 50 test images of 3 x 16 x 16, 10 classes"
    return made


def run_of(folder: Path, seed: int | None = None) -> sl.lab.Run:
    return (
        sl.Lab(folder / "runs", data=folder / "data" / "own.npz").result(sl.ladders.load(str(folder / "own.py")))["plain"].run(seed)
    )


def test_a_folder_of_test_pictures_is_answered_as_the_record_says(folder: Path) -> None:
    run = run_of(folder)
    found = answer(run, [folder / "photos" / "test"])
    logits = run.logits()
    by_name = {each.image: each for each in found}
    assert len(by_name) == 50
    for number, label in enumerate(drawn(3, 16, 16)[3]):
        each = by_name[f"{label}/{number}.png"]
        shares = np.exp(logits[number] - logits[number].max())
        assert each.probability == pytest.approx(shares.max() / shares.sum(), abs=2e-3)
        assert each.answer == str(logits[number].argmax())


def test_the_lowest_seed_answers_unless_another_is_named(folder: Path) -> None:
    picture = [next((folder / "photos" / "test").rglob("*.png"))]
    assert (run_of(folder).seed, run_of(folder, 1).seed) == (0, 1)
    command = ("predict", "own.py", "plain", str(picture[0]), "--data", "data/own.npz", "--json")
    answers = [json.loads(stepladder(*command, *more, folder=folder).stdout)[0] for more in ((), ("--seed", "0"), ("--seed", "1"))]
    assert answers[0] == answers[1] == answer(run_of(folder), picture)[0]._asdict()
    assert answers[2] == answer(run_of(folder, 1), picture)[0]._asdict()


def test_a_csv_without_labels_is_answered_in_kaggles_form(folder: Path) -> None:
    test = drawn(3, 16, 16)[2]
    np.savetxt(folder / "test.csv", np.moveaxis(test, 1, -1).reshape(len(test), -1), "%d", ",")
    command = ("predict", "own.py", "plain", "test.csv", "--data", "data/own.npz", "--csv", "out.csv")
    done = stepladder(*command, folder=folder)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "wrote 50 answers to out.csv\n")
    rows = list(csv.reader((folder / "out.csv").read_text().splitlines()))
    assert rows[0] == ["ImageId", "Label"]
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(1, 51)]
    assert [int(row[1]) for row in rows[1:]] == run_of(folder).logits().argmax(1).tolist()


def test_paths_may_be_text(folder: Path, tmp_path: Path) -> None:
    picture = next((folder / "photos" / "test").rglob("*.png"))
    assert answer(run_of(folder), [str(picture)]) == answer(run_of(folder), [picture])
    write([Answer("1", "cat", 0.9)], str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "ImageId,Label\n1,cat\n"


def test_answers_are_printed_a_line_each(folder: Path) -> None:
    done = stepladder("predict", "own.py", "plain", "photos/test/3", "photos/test/4", "--data", "data/own.npz", folder=folder)
    lines = [line.split() for line in done.stdout.splitlines() if ".png" in line]
    assert len(lines) == 10
    assert all(len(line) == 3 and line[2].endswith("%") for line in lines)


def test_pictures_of_another_size_or_mode_are_made_ready_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((40, 30), 200, np.uint8))
    grey.save(tmp_path / "grey.png")
    with pytest.raises(sl.DataError, match=r"grey\.png: found images of 40 x 30, expected 16 x 16, as the run was trained on"):
        answer(run_of(folder), [tmp_path / "grey.png"])
    (found,) = answer(run_of(folder), [tmp_path / "grey.png"], resize=True)
    shares = run_of(folder).probabilities(np.full((1, 3, 16, 16), 200, np.uint8))
    assert found.probability == pytest.approx(float(shares.max()), abs=1e-6)


def test_where_training_images_were_resized_new_ones_are(folder: Path, tmp_path: Path) -> None:
    run = run_of(folder)
    assert run.record.data
    resized = replace(run, record=replace(run.record, data=replace(run.record.data, size=(16, 16))))
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(tmp_path / "one.png")
    assert len(answer(resized, [tmp_path / "one.png"])) == 1


def test_one_path_where_several_are_expected_is_refused(folder: Path) -> None:
    with pytest.raises(sl.UserError, match=r"paths is 'photos', expected several paths, as in \['photos'\]"):
        answer(run_of(folder), "photos")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.png"], "nothing.png: "),
        (["own.py"], "own.py: "),
        (["photos/test", "--seed", "7"], "step plain has no run of seed 7; its seeds are 0, 1"),
        (["photos/test", "--csv", "none/out.csv"], "none/out.csv: No such file or directory"),
        (
            ["photos/test", "--epochs", "2"],
            "found no runs of ladder 'answers' in runs under these options, but 2 runs with --epochs 1",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_line(folder: Path, arguments: list[str], message: str) -> None:
    done = stepladder("predict", "own.py", "plain", *arguments, "--data", "data/own.npz", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stepladder: {message}")
    assert done.stderr.count("\n") == 1
