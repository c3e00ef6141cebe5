"""`check --int8` and `Result.quantised`: recorded networks in integers against their own floats."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import commands
import numpy as np
import pytest
from arms import LABELS
from numpy.typing import NDArray
from recorded import record_run
from test_evidence_quantised import ARMS, answered
from test_evidence_quantised import LADDER as MEMORY
from test_export import ODD, OWN, PLAIN

import stepladder as sl
from stepladder import Budget, Conv, GlobalAvgPool, GroupNorm, Ladder, Network
from stepladder.cli import quantised as text
from stepladder.evidence import Answered, gather, quantised
from stepladder.export.c import integers
from stepladder.export.c.quantise import quantise
from stepladder.export.options import Options
from stepladder.inference.operation import Program, arrays
from stepladder.lab import Lab
from stepladder.lab import quantised as lab_quantised
from stepladder.spec import SpecError, UserError

pytestmark = pytest.mark.usefixtures("in_process")

GOLDEN = Path(__file__).parent / "golden" / "check-int8.txt"
NORM = PLAIN.then("Norm", network=Network([Conv(8, stride=2, norm=None), GroupNorm(2), Conv(10, activation=None), GlobalAvgPool()]))
LAST = PLAIN.then("Last", dropout=0.2)
LOST = PLAIN.then("Lost", dropout=0.3, kept=False)
LADDER = Ladder("tiny", Budget(parameters=5_000, epochs=5, accuracy=0.15, hold=1, held=0.5), [PLAIN, OWN, ODD, NORM, LAST, LOST])

Command = Callable[..., subprocess.CompletedProcess[str]]
Answers = tuple[NDArray[np.uint8], str]

REAL = lab_quantised._answers


@pytest.fixture(scope="module")
def lab(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Four steps trained once for all tests, the first with three seeds and a fourth that diverged."""
    made = sl.Lab(tmp_path_factory.mktemp("int8") / "runs", data=small_mnist, threads=1)
    made.run(LADDER, seeds=3, steps=["plain"], progress=False)
    made.run(LADDER, steps=["own", "odd", "norm"], progress=False)
    record_run(made.setup, PLAIN, 3, [50], diverged=True)
    record_run(made.setup, LOST, 0, [50], diverged=True)
    return made


@pytest.fixture(scope="module", autouse=True)
def _once() -> Iterator[None]:
    """A network that was quantised is not quantised again."""
    known = dict[tuple[str | None, bytes], Answers]()

    def answers(program: Program, options: Options, images: NDArray[np.uint8]) -> Answers:
        named = shutil.which("cc"), arrays(program.operations[0])[0].tobytes()
        if named not in known:
            known[named] = REAL(program, options, images)
        return known[named]

    with patch.object(lab_quantised, "_answers", answers):
        yield


@pytest.fixture
def check(lab: Lab, tmp_path: Path) -> Command:
    (tmp_path / "tiny.py").write_text("from test_check_int8 import LADDER\nladder = LADDER\n")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        options = ("--runs", str(lab.runs), "--data", str(lab.data))
        return commands.stepladder("check", "tiny.py", *arguments, *options, folder=tmp_path)

    return call


def expected(lab: Lab, step: str, seed: int) -> NDArray[np.int64]:
    """The answers of a run's network in integers, computed in numpy."""
    images, program = lab.images(), lab.result(LADDER)[step].run(seed).program()
    return np.asarray(integers.run(quantise(program, images.train_images), images.test_images).argmax(1))


def test_every_finished_seed_answers_in_integers_as_its_export_does(lab: Lab) -> None:
    result, labels = lab.result(LADDER), lab.images().test_labels
    found = result.quantised(["plain"], progress=False)["plain"]
    assert found.by == "the C source, built with cc"
    assert [pair.seed for pair in found.pairs] == [0, 1, 2]
    for pair in found.pairs:
        answers, floats = expected(lab, "plain", pair.seed), result["plain"].run(pair.seed).logits().argmax(1)
        assert pair.integers == (answers == labels).mean()
        assert pair.floats == result["plain"].run(pair.seed).history[-1].test_accuracy
        assert pair.changed == (answers != floats).sum()
    assert sum(pair.changed for pair in found.pairs) > 0  # else floats might stand for integers
    assert found.diverged == (3,)


def test_without_a_compiler_the_same_is_computed_in_numpy(lab: Lab) -> None:
    result = lab.result(LADDER)
    found = result.quantised(["own"], progress=False)["own"]
    with patch.object(shutil, "which", lambda tool: None):
        without = result.quantised(["own"], progress=False)["own"]
    assert without == replace(found, by="the same in numpy, as no C compiler was found")


def test_what_integers_cannot_express_is_a_row_with_its_reason_and_the_others_are_judged(check: Command, lab: Lab) -> None:
    before = files(lab)
    done = check("--int8")
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    lines = done.stdout.splitlines()
    (odd,) = (line for line in lines if line.startswith("odd is not quantised: "))
    assert "network Odd is no network of layers that could be exported" in odd
    assert "norm is not quantised: GroupNorm and LayerNorm cannot be written in int8" in done.stdout
    assert "own has one finished seed: n = 1, without an interval" in lines
    assert [" not run " in rows["last"], " diverged " in rows["lost"]] == [True, True]
    assert "FAILED: step last, the last that is kept, has not been run" in lines
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "4/4 networks quantised"
    assert files(lab) == before


def files(lab: Lab) -> list[Path]:
    """All beside the runs but the index, which is there or not by who looked before."""
    return sorted(path for path in Path(lab.runs).rglob("*") if not path.name.startswith(".index"))


def test_steps_may_be_chosen_and_the_last_that_is_kept_decides_the_exit_code(check: Command) -> None:
    passed = check("--int8", "--steps", "plain")
    assert passed.returncode == 0, passed
    ending = "passed: in 8 bits step plain, the last of these that is kept, reaches the target after the last epoch"
    assert passed.stdout.splitlines()[-1] == ending
    one = check("--int8", "--steps", "plain,own")
    assert (one.returncode, check("--int8", "--steps", "own", "--allow-undecided").returncode) == (3, 0)
    assert "one run: too few to judge" in one.stdout.splitlines()[-1]
    refused = check("--int8", "--steps", "plain,norm")
    assert refused.returncode == 1
    assert "FAILED: step norm, the last of these that is kept, is not quantised" in refused.stdout
    diverged = check("--int8", "--steps", "lost")
    assert (diverged.returncode, "FAILED: step lost has no finished run: 1 run diverged" in diverged.stdout) == (1, True)


def test_data_has_all_figures(check: Command) -> None:
    done = check("--int8", "--steps", "plain,odd,last", "--json")
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    plain, odd, last = found["steps"]
    assert (found["bits"], found["judged"], found["outcome"]) == (8, "last epoch", "failed")
    assert (plain["n"], plain["diverged"], [each["seed"] for each in plain["seeds"]]) == (3, [3], [0, 1, 2])
    differences = [each["int8"] - each["float"] for each in plain["seeds"]]
    assert plain["effect"]["mean"] == pytest.approx(np.mean(differences))
    assert plain["int8"]["test_accuracy"]["mean"] == pytest.approx(np.mean([each["int8"] for each in plain["seeds"]]))
    assert plain["changed"]["mean"] == pytest.approx(np.mean([each["changed"] for each in plain["seeds"]]))
    assert (odd["int8"], odd["effect"], odd["n"], "Odd" in odd["refused"]) == (None, None, 1, True)
    assert (last["n"], last["int8"]["target_verdict"], last["seeds"]) == (0, "not run", [])


def test_what_is_no_choice_is_refused(check: Command, lab: Lab) -> None:
    alone = check("--steps", "plain")
    assert (alone.returncode, "--steps chooses what --int8 quantises" in alone.stderr) == (2, True)
    unknown = check("--int8", "--steps", "nope")
    assert (unknown.returncode, "has no step 'nope'; its steps are plain" in unknown.stderr) == (2, True)
    result = lab.result(LADDER)
    with pytest.raises(UserError, match="steps is 'plain', expected several ids"):
        result.quantised("plain")
    with pytest.raises(UserError, match="steps names no step"):
        result.quantised([])
    with pytest.raises(SpecError, match="has no step 'nope'"):
        result.quantised(["nope"])


def test_a_network_whose_numbers_no_integers_hold_refuses_its_step_and_is_named(lab: Lab) -> None:
    result = lab.result(LADDER)
    (second, _), usual = arrays(result["plain"].run(1).program().operations[0]), lab_quantised._answers

    def failing(program: Program, options: Options, images: NDArray[np.uint8]) -> Answers:
        if np.array_equal(arrays(program.operations[0])[0], second):
            raise UserError("too wide")
        return usual(program, options, images)

    with patch.object(lab_quantised, "_answers", failing):
        found = result.quantised(["plain", "own"], progress=False)
    assert found["plain"].refused == "seed 1: too wide"
    assert (found["plain"].integers, found["own"].refused) == (None, "")


def test_a_record_whose_weights_do_not_fit_is_a_row_too(lab: Lab, tmp_path: Path) -> None:
    own = replace(lab, runs=tmp_path / "runs")
    record_run(own.setup, PLAIN, 0, [450, 480])  # without training
    assert "its weights do not fit its network" in own.result(LADDER).quantised(["plain"], progress=False)["plain"].refused


def shown(capsys: pytest.CaptureFixture[str], changes: dict[str, Sequence[tuple[int, int]]]) -> str:
    """The text of steps in memory that are changed so; a step without changes is refused."""
    each = {
        step: answered(ARMS[step], *change) if change else Answered({}, refused="GroupNorm cannot be written in int8")
        for step, change in changes.items()
    }
    found = quantised(MEMORY, ARMS, each, LABELS)
    text.show(text.check(MEMORY, gather(MEMORY, ARMS, LABELS), found))
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_the_table_is_the_golden_one(capsys: pytest.CaptureFixture[str]) -> None:
    close = [(1, 0), (0, 1), (2, 2), (0, 0), (3, 1), (1, 3)]
    worse = [(0, 60 + seed) for seed in range(6)]
    assert shown(capsys, {"plain": close, "dropout": worse, "tried": []}) + "\n" == GOLDEN.read_text(encoding="utf-8")
