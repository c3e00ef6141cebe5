"""Limits of what a network takes on a micro-controller, held before anything is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import stepladder
from recorded import record_run
from torch import Tensor, nn

import stepladder as sl
from stepladder import (
    Budget,
    Conv,
    GlobalAvgPool,
    GroupNorm,
    Ladder,
    Linear,
    MaxPool,
    Network,
    Recipe,
    SpecError,
    Step,
    UserError,
    networks,
)
from stepladder.cli import tables
from stepladder.page import overview, words
from stepladder.spec import from_data, to_data
from stepladder.spec.budget import DEVICE, asked

SMALL = Network([Conv(6), MaxPool(), Conv(4), GlobalAvgPool(), Linear(10)])
PLAIN = Step("Plain", SMALL, Recipe(epochs=2))
BUDGET = Budget(parameters=5_000, epochs=14, accuracy=0.9, hold=1)
# 6 x 26 x 26 beside its half or 9 numbers gathered; 9 x 6 + 54 x 4 + 40 weights, 8 bytes for each of 20 outputs
TAKES = {"macs": 54 * 26 * 26 + 216 * 11 * 11 + 40, "ram": 6 * 26 * 26 + 6 * 13 * 13, "flash": 54 + 216 + 40 + 8 * 20}
UNITS = {"macs": "multiply-adds an image", "ram": "bytes of RAM", "flash": "bytes of flash"}


class Rows(nn.Module):
    """A recurrent layer over the rows: no network of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.GRU(28, 12, batch_first=True), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.rows(x.squeeze(1))[0][:, -1])


def limited(**limits: int) -> Ladder:
    return Ladder("small", replace(BUDGET, **limits), [PLAIN, PLAIN.then("Drop", dropout=0.1, kept=False)])


@pytest.mark.parametrize("name", DEVICE)
def test_a_step_may_take_what_the_budget_allows_and_no_more(name: str) -> None:
    assert limited(**{name: TAKES[name]}).violations() == []
    over = limited(**{name: TAKES[name] - 1})
    told = f"has {TAKES[name]:,} {UNITS[name]}, the budget allows {TAKES[name] - 1:,}"
    assert over.violations() == [f"step plain {told}", f"step drop {told}"]
    assert PLAIN.exceeds(over.budget) == [(name, TAKES[name], TAKES[name] - 1)]


def test_a_ladder_over_a_limit_is_not_trained(small_mnist: Path, tmp_path: Path) -> None:
    own = sl.Lab(tmp_path / "runs", data=small_mnist)
    for name in DEVICE:
        with pytest.raises(SpecError, match=f"'small' breaks its budget: step plain has {TAKES[name]:,} {UNITS[name]}, the budget"):
            own.run(limited(**{name: 100}))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", DEVICE)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "32k", 10**16])
def test_a_limit_is_a_whole_number_or_none(name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"{name} is .*, expected a whole number of at"):
        replace(BUDGET, **{name: value})


def test_a_limit_that_is_not_set_is_not_in_the_data() -> None:
    assert set(asked(BUDGET)) == {"parameters", "epochs", "accuracy", "hold", "held"}
    some = replace(BUDGET, ram=32_768)
    assert asked(some) == asked(BUDGET) | {"ram": 32_768}
    assert to_data(some) == to_data(BUDGET) | {"ram": 32_768}
    assert from_data(to_data(some)) == some
    assert from_data(to_data(BUDGET)) == BUDGET
    assert words.budget(asked(some)) == words.budget(asked(BUDGET)) + ", 32,768 bytes of RAM"


def test_a_step_that_is_not_made_of_layers_has_macs_alone() -> None:
    step = Step("Rows", Rows)
    macs = sum(row.macs for row in networks.rows(step.network))
    assert Ladder("rows", replace(BUDGET, macs=macs), [step]).violations() == []
    assert step.exceeds(replace(BUDGET, macs=macs - 1)) == [("macs", macs, macs - 1)]
    for name, unit in (("ram", "bytes of RAM"), ("flash", "bytes of flash")):
        ladder = Ladder("rows", replace(BUDGET, **{name: 32_768}), [step])
        with pytest.raises(UserError) as caught:
            ladder.violations()
        assert str(caught.value).startswith(
            f"step rows: the budget allows 32,768 {unit} ({name}), but how many it takes cannot be told: "
            "module Rows is not made of known layers (squeeze in the model (Rows): "
        )


def test_show_prints_a_ladder_of_which_a_cost_cannot_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    tables.steps(Ladder("rows", replace(BUDGET, ram=32_768), [Step("Rows", Rows)]))
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].startswith("step rows: the budget allows 32,768 bytes of RAM (ram), but how many it takes cannot be told: ")


def test_a_module_that_is_layers_takes_what_these_take() -> None:
    def make() -> nn.Module:
        relu = nn.ReLU()
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), relu, nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)),
        )

    assert networks.planned(Step("Torch", make).network)._asdict() == TAKES


def test_a_module_that_is_not_traced_has_no_macs() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(784, 10)

        def forward(self, x: Tensor) -> Any:
            return self.last(x.flatten(1)) * (1 if x.sum() > 0 else 2)

    step = Step("Own", Branching, cache=False)
    with pytest.raises(
        UserError, match=r"step own: the budget allows 9 multiply-adds an image .* module Branching cannot be traced"
    ):
        step.exceeds(replace(BUDGET, macs=9))


def test_a_layer_that_integers_cannot_express_is_named() -> None:
    step = Step("Group", Network([Conv(10), GroupNorm(2), GlobalAvgPool()]))
    assert step.exceeds(replace(BUDGET, macs=1)) == [("macs", 26 * 26 * 90, 1)]
    with pytest.raises(
        UserError, match=r"step group: the budget allows 9 bytes of flash .*: GroupNorm and LayerNorm cannot be writ"
    ):
        step.exceeds(replace(BUDGET, flash=9))


FILE = """
from stepladder import Budget, Conv, GlobalAvgPool, GroupNorm, Ladder, Linear, MaxPool, Network, Recipe, Step
plain = Step("Plain", Network([Conv(6), MaxPool(), Conv(4), GlobalAvgPool(), Linear(10)]), Recipe(epochs=2))
group = plain.then("Group", network=Network([Conv(10), GroupNorm(2), GlobalAvgPool()]))
ladder = Ladder("small", Budget(5_000, 14, 0.9, hold=1, macs=70_000, ram=None), [plain, group])
"""
SENTENCE = (
    "On a micro-controller, in 8-bit integers: 5,070 bytes of RAM, 470 bytes of flash beside the code, "
    "62,680 multiply-adds an image."
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.py").write_text(FILE)
    return tmp_path


def test_show_tells_what_a_step_takes_where_that_can_be_told(folder: Path) -> None:
    assert SENTENCE in " ".join(stepladder("show", "small.py", "plain", folder=folder).stdout.split())
    assert "micro-controller" not in stepladder("show", "small.py", "group", folder=folder).stdout
    ladder = " ".join(stepladder("show", "small.py", folder=folder).stdout.split())
    assert "5,000 parameters and 14 epochs, 70,000 multiply-adds an image" in ladder
    found = json.loads(stepladder("show", "small.py", "--json", folder=folder).stdout)
    assert [step["device"] for step in found["steps"]] == [TAKES, None]


def test_the_report_and_check_tell_it(folder: Path, small_mnist: Path) -> None:
    own = sl.Lab(folder / "runs", data=small_mnist)
    for ram, over in ((TAKES["ram"], []), (5_000, ["ram"])):
        ladder = limited(ram=ram)
        record_run(own.setup, PLAIN, 0, [440, 450])
        result = own.result(ladder)
        result.report(folder / "report", force=True)
        found = json.loads((folder / "report" / "report.json").read_text())
        assert found["budget"] == asked(ladder.budget)
        plain = found["steps"][0]
        assert (plain["device"], plain["over_budget"]) == (TAKES, over)
        text = (folder / "report" / "report.md").read_text()
        assert SENTENCE in text
        assert ("It is over budget, with 5,070 bytes of RAM where 5,000 are allowed" in text) == bool(over)
        assert f"5,070 of {ram:,} bytes of RAM." in text
        assert "5,070 bytes of RAM, 470 of flash on a micro-controller" in (folder / "report" / "report.html").read_text()
    assert overview.target(plain).reason == "5,070 bytes of RAM"
    assert "Bring it within the budget, which it exceeds by 70 bytes of RAM." in text
    (folder / "small.py").write_text(FILE.replace("ram=None", "ram=5_000").replace("[plain, group]", "[plain]"))
    checked = stepladder("check", "small.py", "--data", str(small_mnist), folder=folder)
    assert "FAILED: step plain is over budget: it has 5,070 bytes of RAM, the budget allows 5,000" in checked.stdout
    (folder / "small.py").write_text(FILE.replace("ram=None", "ram=9_000"))
    refused = stepladder("check", "small.py", "--data", str(small_mnist), folder=folder)
    assert refused.returncode == 2
    assert "step group: the budget allows 9,000 bytes of RAM (ram), but" in refused.stderr
