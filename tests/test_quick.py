"""The first ten minutes: a ladder to begin with, and a first look at it that no other report mixes in."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from commands import stepladder

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, SpecError, Step, UserError, data, ladders
from stepladder.data import Reading, split
from stepladder.lab import Lab

pytestmark = pytest.mark.usefixtures("in_process")

TINY = Network([Conv(8, stride=2), Conv(10, activation=None), GlobalAvgPool()])


def test_a_new_ladder_has_three_steps_and_is_run_as_it_is(tmp_path: Path, small_mnist: Path) -> None:
    result = stepladder("new", "mine", folder=tmp_path)
    assert result.stdout.startswith("wrote mine.py, a ladder of three steps. A first look: `")
    assert "run mine.py --quick`" in result.stdout
    ladder = ladders.load(str(tmp_path / "mine.py"))
    assert (ladder.name, len(ladder.steps), ladder.violations()) == ("mine", 3, [])
    assert [step.kept for step in ladder.steps] == [True, True, False]
    ran = stepladder("run", "mine.py", "--quick", "--data", str(small_mnist), "--steps", "plain", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_a_new_ladder_replaces_nothing_and_has_a_name_that_a_folder_can_have(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    assert "mine.py: there is such a file already" in stepladder("new", "mine", folder=tmp_path).stderr
    assert "a ladder cannot be called 'my ladder': expected letters" in stepladder("new", "my ladder", folder=tmp_path).stderr
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("epochs", "quick"),
    [([14], [3]), ([15, 14, 15], [4, 3, 4]), ([2, 14], [2, 4]), ([1, 2, 3, 4], [1, 2, 3, 4]), ([10, 20, 1], [4, 5, 1])],
)
def test_a_quick_ladder_has_few_epochs_and_changes_what_it_changed(epochs: list[int], quick: list[int]) -> None:
    steps = [Step("0", TINY, Recipe(epochs=epochs[0]))]
    for number, each in enumerate(epochs[1:], 1):
        steps.append(steps[-1].then(str(number), epochs=each))
    ladder = Ladder("mine", Budget(10_000, 30, 0.9), steps).quick()
    assert [step.recipe.epochs for step in ladder.steps] == quick
    assert [step.change and step.change.concept for step in ladder.steps] == [None] + ["epochs"] * (len(epochs) - 1)


def test_every_built_in_ladder_can_be_looked_at_first() -> None:
    for name in ladders.names():
        ladder = ladders.load(name)
        assert max(step.recipe.epochs for step in ladder.quick().steps) <= 5
        assert [step.id for step in ladder.quick().steps] == [step.id for step in ladder.steps]


def test_a_quick_look_takes_a_part_of_the_images_of_each_class_its_share() -> None:
    found = data.load(None, Reading(quick=True))
    assert (len(found.train_labels), len(found.test_labels)) == (6_000, 2_000)
    whole = data.load()
    assert np.abs(np.bincount(found.train_labels) * 10 - np.bincount(whole.train_labels)).max() <= 10
    assert found.digest != whole.digest


def test_a_quick_look_at_few_images_takes_them_all(small_mnist: Path) -> None:
    assert data.load(small_mnist, Reading(quick=True)).digest == data.load(small_mnist).digest


def test_a_quick_look_has_records_and_a_report_of_its_own(tmp_path: Path, small_mnist: Path) -> None:
    text = "from test_quick import TINY\nfrom stepladder import *\n"
    text += 'step = Step("Plain", TINY, Recipe(epochs=5))\nladder = Ladder("mine", Budget(10_000, 5, 0.5, hold=2), [step])\n'
    (tmp_path / "mine.py").write_text(text)
    call = ("mine.py", "--data", str(small_mnist))
    data.load.cache_clear()  # of another part
    with patch.object(split, "QUICK", (500, 200)):
        ran = stepladder("run", *call, "--quick", folder=tmp_path)
        assert ran.returncode == 0, ran.stderr
        report = json.loads((tmp_path / "runs/mine-quick/report.json").read_text())
        assert (report["quick"], report["images"], report["steps"][0]["epochs"]) == (True, 200, 3)
        assert "A first look (--quick), after a few epochs on 500 training and 200 test images: it is no evidence" in (
            tmp_path / "runs/mine-quick/report.md"
        ).read_text(encoding="utf-8")
        assert not (tmp_path / "runs/mine").exists()
        without = stepladder("report", *call, folder=tmp_path)
        assert without.returncode == 2
        assert without.stderr.endswith("under these options, but 1 run with --quick\n")
        assert json.loads(stepladder("check", *call, "--quick", "--json", folder=tmp_path).stdout)["steps"][0]["n"] == 1
        assert json.loads(stepladder("check", *call, "--json", folder=tmp_path).stdout)["steps"][0]["n"] == 0


def test_what_is_no_first_look_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="quick is 1, expected True or False"):
        Lab(tmp_path, quick=1)  # type: ignore[arg-type]
    lab, ladder = Lab(tmp_path, quick=True), ladders.load("mnist")
    with pytest.raises(UserError, match="a climb is no first look"):
        lab.climb(ladder, ladder.budget, runs=10, output=tmp_path / "c.py")
    assert replace(lab, quick=False).setup.reading == data.AS_IS


def test_a_step_that_is_meant_is_asked_for() -> None:
    ladder = ladders.load("mnist")
    with pytest.raises(SpecError, match=r"has no step 'a4' \(did you mean 'A4'\?\); its steps are 0, A1"):
        ladder.step("a4")
    with pytest.raises(SpecError, match=r"has no step 'nothing'; its steps are"):
        ladder.step("nothing")
