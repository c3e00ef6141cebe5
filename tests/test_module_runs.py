"""Steps whose networks are torch modules, trained, judged and reported as any other."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from commands import stepladder
from safetensors.torch import load_file
from torch import Tensor, nn
from training import figures

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, SpecError, Step, data, records, train
from stepladder.job import Job
from stepladder.lab import Lab, Result
from stepladder.page.words import brief

pytestmark = pytest.mark.usefixtures("in_process")


class Net(nn.Module):
    """Two convolutions and what follows them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 3, stride=2, bias=False), nn.ReLU(), nn.BatchNorm2d(width), nn.Dropout(0.05))
        self.last = nn.Conv2d(width, 10, 3, stride=2)
        self.left = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.last(self.first(x)).mean((2, 3)), dim=-1)


class Rows(nn.Module):
    """A recurrent layer over the rows, with dropout by torch's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.GRU(28, 12, batch_first=True), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Any:
        states, _ = self.rows(x.squeeze(1))
        return self.last(F.dropout(states[:, -1], 0.2, self.training))


RECIPE = Recipe(epochs=2, batch_size=100)
PLAIN = Step("Plain", network=Net, recipe=RECIPE)
LADDER = Ladder(
    "own", Budget(5_000, 5, 0.5, hold=1),
    [PLAIN, PLAIN.then("Wider", network=lambda: Net(12)), PLAIN.then("Rows", network=Rows, kept=False)],
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return sl.Lab(tmp_path_factory.mktemp("modules") / "runs", data=small_mnist, threads=1)


@pytest.fixture(scope="module")
def result(lab: Lab) -> Result:
    """Three steps with two seeds each, trained once for all tests."""
    return lab.run(LADDER, seeds=2, progress=False)


def test_modules_are_trained_by_the_engine_that_can(result: Result) -> None:
    assert not result.problems
    engines = {step: result[step].run(0).record.environment["engine"] for step in result}
    assert engines == {"plain": "native", "wider": "native", "rows": "torch"}
    assert result["rows"].run(0).record.engine == "torch-1"
    assert result["wider"].effect
    for step in result:
        first, last = (result[step].run(0).history[place].train_loss for place in (0, -1))
        assert last < first < 2.5


def test_weights_are_stored_under_the_modules_own_names(result: Result) -> None:
    run = result["plain"].run(0)
    own = Net()
    own.load_state_dict(load_file(run.folder / "weights.safetensors"))
    model = run.model()
    assert type(model) is Net
    assert not model.training
    images = data.load(Path(str(result.setup.data))).test_images
    with torch.inference_mode():
        logits = model(run.prepare(images))
    torch.testing.assert_close(logits.softmax(1), torch.from_numpy(run.logits()).softmax(1), rtol=1e-3, atol=1e-4)


def test_what_forward_never_uses_is_counted_and_stays_as_it_was_drawn(result: Result) -> None:
    run = result["plain"].run(1)
    assert run.record.parameters == sum(it.numel() for it in Net().parameters())
    weights = load_file(run.folder / "weights.safetensors")
    other = load_file(result["plain"].run(0).folder / "weights.safetensors")
    assert weights["left.weight"].norm() > 0
    assert not torch.equal(weights["left.weight"], other["left.weight"])


def test_every_seed_begins_with_weights_of_its_own_and_the_same_ones_each_time(lab: Lab) -> None:
    from stepladder.engine import plain
    from stepladder.networks.building import build

    def weights(seed: int) -> list[Tensor]:
        return [*build(PLAIN.network, plain, 0.0, torch.Generator(), seed).state_dict().values()]

    assert all(map(torch.equal, weights(0), weights(0)))
    assert not torch.equal(weights(0)[0], weights(1)[0])


@pytest.mark.parametrize("step", LADDER.steps, ids=lambda step: step.id)
def test_a_run_that_was_interrupted_goes_on_to_the_same_end(lab: Lab, result: Result, step: Step, tmp_path: Path) -> None:
    setup = sl.Lab(tmp_path / "runs", data=lab.data, threads=1).setup
    job = Job("own", step, 1, setup)
    torch.manual_seed(9)
    ended = patch.object(records, "write", side_effect=KeyboardInterrupt), patch.object(train, "fit", _one_epoch(train.fit))
    with ended[0], ended[1], pytest.raises(KeyboardInterrupt):
        train.train(job)
    assert records.read_checkpoint(job.folder)
    train.train(job)
    record, whole = records.read(job.folder), result[step.id].run(1).record
    assert figures(record) == figures(whole)
    assert record.weights_sha256 == whole.weights_sha256
    assert torch.initial_seed() == 9


def _one_epoch(fit: Any) -> Any:
    """As `fit`, but what comes after the first epoch does not."""

    def only_first(*args: Any) -> Any:
        yield next(fit(*args))

    return only_first


def test_the_report_says_what_trained_a_module_and_why(result: Result, tmp_path: Path) -> None:
    written = result.report(tmp_path / "report")
    found = json.loads((written.folder / "report.json").read_text())
    sentences = [step["module"] for step in found["steps"]]
    assert sentences[0] == "Module Net is trained by the native engine."
    assert sentences[2].startswith("Module Rows is trained by the torch engine, not by the native one: squeeze in the model (Rows)")
    for name in ("report.html", "report.md"):
        text = (written.folder / name).read_text()
        assert "Module Rows is trained by the torch engine" in text.replace("\N{NO-BREAK SPACE}", " ")
        assert "Conv(12, stride=2, norm=None)" in text


def test_a_step_that_begins_with_other_weights_alone_says_so() -> None:
    def smaller() -> nn.Module:
        module = Net()
        nn.init.zeros_(module.last.weight)
        return module

    change = PLAIN.then("Smaller", network=smaller).change
    assert change
    assert brief(change) == "network: Net → smaller, of the same layers"


def test_dropout_of_the_recipe_follows_the_activated_convolutions_of_a_module(lab: Lab) -> None:
    dropped = PLAIN.then("Dropout", dropout=0.05)
    assert dropped.change
    assert dropped.change.concept == "dropout"
    assert lab.setup.fingerprint(dropped) != lab.setup.fingerprint(PLAIN)


def test_dropout_is_refused_where_a_module_has_no_place_for_it() -> None:
    with pytest.raises(
        SpecError, match=r"step 'Dropout': dropout is 0.05, but module Rows has no place for it, .*squeeze in the model"
    ):
        Step("Rows", network=Rows, recipe=RECIPE).then("Dropout", dropout=0.05)
    flat = Step("Flat", network=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), recipe=RECIPE)
    with pytest.raises(SpecError, match=r"has no place for it: it follows activated convolutions, of which there are none"):
        flat.then("Dropout", dropout=0.05)


def test_images_are_those_that_the_step_says_or_its_parents() -> None:
    colour = Step("Colour", network=lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)), input=(3, 32, 32))
    assert colour.network.input == (3, 32, 32)
    wider = colour.then("Wider", network=lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 20), nn.Linear(20, 10)))
    assert wider.network.input == (3, 32, 32)
    layers = Network([Conv(10), GlobalAvgPool()])
    with pytest.raises(SpecError, match=r"step 'Two': input is \(3, 32, 32\), that of its network \(1, 28, 28\)"):
        Step("Two", layers, input=(3, 32, 32))


def test_a_module_that_is_not_cached_is_trained_and_said_to_be(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("Own", network=Rows, recipe=RECIPE, cache=False)
    ladder = Ladder("uncached", LADDER.budget, [step])
    result = lab.run(ladder)
    assert "step own: Module Rows is trained by the torch engine, not by the native one" in capsys.readouterr().out
    assert result["own"].run().record.status == "finished"
    again = Ladder("uncached", LADDER.budget, [Step("Own", network=Rows, recipe=RECIPE, cache=False)])
    assert lab.result(again).arms["own"].records == []


MODULES = """
import torch
from torch import nn
from stepladder import Budget, Ladder, Recipe, Step

WIDTH = 8

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, WIDTH, 3, stride=2)
        self.last = nn.Linear(WIDTH, 10)

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))

class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows, self.last = nn.GRU(28, 12, batch_first=True), nn.Linear(12, 10)

    def forward(self, x):
        return self.last(self.rows(x.squeeze(1))[0][:, -1])

plain = Step("Plain", network=Net, recipe=Recipe(epochs=1))
ladder = Ladder("file", Budget(5_000, 5, 0.5, hold=1), [plain, plain.then("Rows", network=Rows)])
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODULES)
    return path


def test_classes_of_a_ladders_file_and_of_a_script_train_in_worker_processes(file: Path, few_mnist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stepladder", "run", str(file), "--data", str(few_mnist), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "step rows: Module Rows is trained by the torch engine, not by the native one: squeeze in the model (Rows)" in done.stdout
    )
    script = tmp_path / "script.py"
    script.write_text(
        f"{MODULES}\nimport stepladder as sl\n"
        f"result = sl.Lab('runs', data={str(few_mnist)!r}, workers=2).run(ladder, seeds=2, progress=False)\n"
        "print(result.problems, [len(result.arms[step].records) for step in result])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[] [2, 2]\n"), done.stderr
    assert len([*(tmp_path / "runs").glob("*/*/run.json")]) == 4  # those of seed 0 were not trained again


def test_any_module_of_a_file_is_shown_without_a_ladder(file: Path, tmp_path: Path) -> None:
    shown = stepladder("show", f"{file}:Net")
    assert shown.returncode == 0
    assert "Net, images of 1 x 28 x 28" in shown.stdout
    assert "ReLU" in shown.stdout
    assert shown.stdout.rstrip().endswith("Module Net is trained by the native engine.")
    assert "not by the native one: squeeze in the model (Rows)" in stepladder("show", f"{file}:Rows").stdout
    found = json.loads(stepladder("show", f"{file}:Net", "--json").stdout)
    assert (found["parameters"], found["module"]) == (170, "Net")
    pasted = stepladder("show", f"{file}:Net", "--as-layers").stdout
    network = eval(pasted, vars(sl))
    assert network == Network([Conv(8, stride=2, bias=True, norm=None), GlobalAvgPool(), sl.Linear(10)])
    ladder = tmp_path / "pasted.py"
    ladder.write_text(f"from stepladder import *\nladder = Ladder('p', Budget(200, 1, 0.5), [Step('A', {pasted})])\n")
    assert stepladder("show", str(ladder), "a", "--as-layers").stdout == pasted


def test_what_cannot_be_shown_is_told_in_a_line(file: Path) -> None:
    for name, message in {
        f"{file}:Nothing": "it defines no 'Nothing', expected a torch.nn.Module",
        f"{file.parent}/none.py:Net": "none.py: file not found",
        f"{file}:WIDTH": "WIDTH is int, expected a torch.nn.Module, its class or a function that makes one",
    }.items():
        done = stepladder("show", name)
        assert done.returncode == 2
        assert message in done.stderr
    done = stepladder("show", f"{file}:Rows", "--as-layers")
    assert "module Rows cannot be written in the layer language: squeeze in the model (Rows)" in done.stderr
    assert "--input is 'big', expected channels x height x width" in stepladder("show", f"{file}:Net", "--input", "big").stderr
    assert "name a step" in stepladder("show", "mnist", "--as-layers").stderr


def test_the_commands_of_the_page_on_modules_run(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "modules.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    (commands,) = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "mine.py").write_text(code)
    for command in commands.splitlines():
        done = stepladder(*shlex.split(command, comments=True)[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr
    rows = stepladder("show", "mine.py:MyNet", folder=tmp_path).stdout
    assert rows.splitlines()[2].split()[:4] == ["#", "operation", "in", "out"]  # no column that says nothing
    assert done.stdout.startswith("Network([\n    Conv(8, bias=True, norm=None),\n    BatchNorm(),\n    Dropout(0.05),\n")
    assert stepladder("show", "mine.py", "wider", folder=tmp_path).returncode == 0
