"""What is judged once is said alike, over drawn evidence, in report.json, .md and .html, on the terminal, by check, compare, the
analysis and the headline."""

import html as entities
import io
import json
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from arms import LABELS, arm
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stepladder import Affine, Budget, Ladder, Step, ladders, report
from stepladder.cli import tables, verdicts
from stepladder.data import Dataset
from stepladder.evidence import Arm, Effect, between, gather
from stepladder.job import Setup
from stepladder.page.html import html
from stepladder.page.markdown import markdown

BIG, SMALL = (ladders.load("mnist").step(name).network for name in ("A1", "B1"))
IMAGES = np.zeros((len(LABELS), 1, 28, 28), np.uint8)
DATASET = Dataset(IMAGES, LABELS, IMAGES, LABELS, "", tuple("0123456789"), "drawn", numbered=True)

TARGETS = {
    "reached": "It reaches the target: ",
    "accurate, not held": "but does not hold it: ",
    "missed": "It misses the target",
    "undecided": r"The target is undecided: |leaves the target undecided",
    "one run: too few to judge": "One run ends at .*: too few to judge",
    "too few epochs to judge": "are too short to judge",
    "over budget": "It is over budget",
    "diverged": r"(Both|All \d+|The only) runs? diverged",
    "not run": "Not run.",
}
"""A target's verdicts as the analysis says them."""
EFFECTS = {
    "helps": "The change helps: ",
    "hurts": "The change hurts: ",
    "no difference": "The change makes no difference above 0.05 points: ",
    "dead": "The change is dead",
    "undecided": "Whether the change helps is undecided: ",
    "one pair: too few to judge": "to tell the change from the seed",
}
"""An effect's."""
EFFECT_FIGURES = {
    "helps": ": the change helps.",
    "hurts": ": the change hurts.",
    "no difference": ": no difference above 0.05 points",
    "dead": "The change is dead",
    "undecided": r"\): undecided",
    "one pair: too few to judge": "; one pair: too few to judge.",
}
OPPOSITE = {"helps": "hurts", "hurts": "helps"}


@st.composite
def climbs(draw: st.DrawFn) -> tuple[Ladder, dict[str, Arm]]:
    """A ladder of four steps, one of them not kept, and runs of all kinds: none, one, several, diverged, too short, over the
    budget, without an effect on the weights."""
    epochs = draw(st.sampled_from([6, 6, 6, 2]))
    root = Step("Root", BIG)
    small = root.then("Small [of [/two]]", network=SMALL, id="small")
    dropout = small.then("Dropout", dropout=0.05)
    turned = small.then("Turned", augmentation=Affine(rotate=10), kept=False)
    budget = Budget(
        parameters=draw(st.sampled_from([10_000, 10_000, 10_000, 9_000, 7_000])),
        epochs=draw(st.sampled_from([15, 15, 15, 15, 5])),
        accuracy=0.994,
        hold=draw(st.sampled_from([2, 2, 1, 3])),
        held=draw(st.sampled_from([0.5, 0.9, 1.0])),
    )
    ladder = Ladder("drawn", budget, [root, small, dropout, turned]).with_epochs(epochs)
    tests: dict[str, dict[int, list[float]]] = {}
    arms: dict[str, Arm] = {}
    for step in ladder.steps:
        dead = step.parent is not None and bool(tests[step.parent.id]) and draw(st.integers(0, 3)) == 3
        lost = [] if dead else draw(st.sampled_from([[], [], [], [], [0], [1, 2], list(range(9))]))
        tests[step.id] = dict(tests[step.parent.id]) if dead and step.parent else draw(_histories(epochs, lost))
        if dead and step.parent:
            lost = [record.seed for record in arms[step.parent.id].records if record.status == "diverged"]
        weights = arms[step.parent.id].records[0].weights_sha256.split()[0] if dead and step.parent else step.id
        arms[step.id] = arm(step, tests[step.id], diverged=[seed for seed in lost if seed in tests[step.id]], weights=weights)
    return ladder, arms


@st.composite
def _histories(draw: st.DrawFn, epochs: int, lost: list[int]) -> dict[int, list[float]]:
    """Test accuracies by seed, in whole images: near the target or not, with epochs below it before the last or not."""
    middle = draw(st.sampled_from([9_955, 9_955, 9_942, 9_935, 9_900]))
    spread = draw(st.sampled_from([3, 3, 8, 0]))
    dips = draw(st.sampled_from([0, 0, 20]))
    found = {}
    for seed in range(draw(st.sampled_from([9, 9, 9, 7, 3, 1, 0]))):
        last = middle + draw(st.integers(-spread, spread))
        history = [9_700, *([last - dips] * (epochs - 2)), last]
        found[seed] = [correct / 10_000 for correct in (history[: draw(st.integers(0, 1))] if seed in lost else history)]
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def text(element: str) -> str:
    """The words of a piece of HTML, without no-break spaces and true minus signs."""
    words = " ".join(entities.unescape(re.sub(r"<[^>]*>", " ", element)).split())
    return words.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def printed(function: Any, *arguments: Any) -> str:
    with redirect_stdout(io.StringIO()) as out:
        function(*arguments)
    return out.getvalue()


def rows(table: str, ladder: Ladder) -> dict[str, str]:
    """The lines of a terminal's table by step."""
    found = {line.split()[0]: line for line in reversed(table.splitlines()) if line.split()}  # the headline below begins so too
    return {step.id: found[step.id] for step in ladder.steps}


@settings(max_examples=10, phases=[Phase.generate])  # to shrink an example would take minutes
@given(climbs())
def test_every_judgement_is_said_alike_wherever_it_is_said(climb: tuple[Ladder, dict[str, Arm]]) -> None:
    ladder, arms = climb
    gathered = gather(ladder, arms, LABELS)
    found = report.build(ladder, Setup(Path("runs")), arms, gathered, DATASET)
    json.loads(json.dumps(found, allow_nan=False))
    checked = verdicts.check(ladder, gathered)
    json.dumps(checked, allow_nan=False)
    with patch("stepladder.page.views.charts", return_value=None):  # they judge nothing, and drawing takes most of the time
        written, page = markdown(found, ladder), html(found, ladder, IMAGES)
    table = {line[2:].split(" | ")[0]: cells(line) for line in written.splitlines() if line.startswith("| ")}
    shown, checks = (rows(out, ladder) for out in (printed(tables.results, found), printed(verdicts.show, ladder, checked)))
    assert "Small [of [/two]]" in shown["small"]
    for data, check in zip(found["steps"], checked["steps"], strict=True):
        name, verdict = data["id"], data["target_verdict"]
        assert verdict == gathered[name].target.verdict == check["target_verdict"] == table[name][7]
        assert verdict in shown[name]
        assert verdict in checks[name]
        (result,) = [line for line in section(written, name) if line.startswith("**Result.**")]
        assert f": {verdict}" in result or f"; {verdict}" in result
        row = page[page.index(f'<a href="#step-{name}"><span') :]
        row = row[: row.index("</tr>")]
        assert f" {verdict} " in f"{text(cell(row, 'target'))} "
        head = page[page.index(f'id="title-{name}"') :]
        assert verdict in text(head[: head.index("</header>")])
        assert_said(data["analysis"], verdict, TARGETS, "" if data["n"] else "diverged")
        if data["n"]:
            assert re.match(rf"Target \({verdict}(, but out of reach)?\): ", data["figures"][-1])
        for told in (data["analysis"], data["next"], *data["figures"]):
            assert told in written
            assert told in text(page)
        assert_effect_is_said_alike(
            ladder, arms, data, check, [table[name][8], shown[name], checks[name], text(cell(row, "verdict"))]
        )
    assert_outcome(ladder, checked)
    assert found["headline"] == checked["headline"]
    for place in (written, text(page), printed(verdicts.show, ladder, checked)):
        assert re.sub("[` ]", "", found["headline"]) in re.sub("[` ]", "", place)  # which is code in HTML
    assert_headline(found["headline"], found["steps"])


def section(written: str, name: str) -> list[str]:
    """The lines of a step's section in report.md."""
    start = written.index(f"\n### {name}: ") + 1
    return written[start:].split("\n### ")[0].splitlines()


def cell(row: str, name: str) -> str:
    """The cell of this class in a row of the page's overview."""
    found = re.search(rf'<td class="{name}\b.*?</td>', row, flags=re.DOTALL)
    return found[0] if found else ""


def assert_said(analysis: str, verdict: str, words: Mapping[str, str], also: str = "") -> None:
    """The analysis says this verdict and no other, but for one that may be said too."""
    said = {name for name, phrase in words.items() if re.search(phrase, analysis)}
    assert verdict in said, analysis
    assert said - {also} <= {verdict}, analysis


def assert_headline(said: str, steps: list[dict[str, Any]]) -> None:
    """What is said of the whole ladder is so by the verdicts of its steps."""
    targets = {step["id"]: step["target_verdict"] for step in steps}
    effects = {step["id"]: step["effect"] for step in steps if step["effect"]}
    reached = [name for name, verdict in targets.items() if verdict == "reached"]
    assert bool(re.search(r"^(\w+|.* and \w+|\d of 4 steps) reach(es)? the target", said) and "No step" not in said) == bool(
        reached
    ), said
    if "No step reaches" in said:
        shut = [step["target_open"] == "too few seeds hold for it to be reached" for step in steps]
        judged = ("missed", "accurate, not held", "over budget", "diverged")
        assert all(verdict in judged or out for verdict, out in zip(targets.values(), shut, strict=True)), said
    for verb, verdict in (("help", "helps"), ("hurt", "hurts")):
        names = [name for name, effect in effects.items() if effect["verdict"] == verdict]
        clause = re.search(rf"([^;,]*?)(?: is| are)?(?: shown)? to {verb}\b", said.partition("It takes")[0])
        named = [name for name in names if clause and re.search(rf"\b{name}\b", clause[1])]
        assert named == names or (len(effects) == 1 and f"the one change is shown to {verb}" in said), said
    open_ = ("undecided", "one pair: too few to judge")
    few = [
        effect["pairs_needed"] for effect in effects.values() if effect["verdict"] in open_ and effect["n"] < effect["pairs_needed"]
    ]
    assert re.findall(r"It takes (\d+) seeds", said) == ([str(max(few))] if few else []), said
    assert [name for name, verdict in targets.items() if verdict == "not run"] == [] or "run" in said


def assert_effect_is_said_alike(
    ladder: Ladder, arms: Mapping[str, Arm], data: dict[str, Any], check: dict[str, Any], said: list[str]
) -> None:
    """Report, check, compare and analysis agree on a step's effect; `said` are the cells that tables have for it."""
    effect = data["effect"]
    assert effect == check["effect"]
    if effect is None:
        return
    verdict = effect["verdict"]
    for table in said:
        assert verdict in table
        assert ("interval excludes 0" in table) == effect["reason"].startswith("interval excludes 0")
    assert_said(data["analysis"], verdict, EFFECTS)
    assert_said(" ".join(data["figures"]), verdict, EFFECT_FIGURES)
    step = ladder.step(data["id"])
    assert step.parent
    compared = verdicts.comparison(ladder, step.id, step.parent.id, arms, shared(ladder, arms, step, step.parent))
    assert compared["effect"] == effect
    assert compared["words"] in data["figures"]
    assert compared["words"] in verdicts.sentences(compared)
    json.dumps(compared, allow_nan=False)
    back = verdicts.comparison(ladder, step.parent.id, step.id, arms, shared(ladder, arms, step.parent, step))
    assert back["effect"]["verdict"] == OPPOSITE.get(verdict, verdict)
    assert back["effect"]["reason"] == effect["reason"]


def shared(ladder: Ladder, arms: Mapping[str, Arm], step: Step, other: Step) -> Effect:
    found = between(ladder, arms, LABELS, step, other)
    assert found
    return found


def assert_outcome(ladder: Ladder, checked: dict[str, Any]) -> None:
    """The outcome follows the verdicts, and its words its exit code."""
    steps = {step["id"]: step for step in checked["steps"]}
    last = steps[ladder.last.id]["target_verdict"]
    broken = any(step["target_verdict"] == "over budget" for step in steps.values())
    broken |= any(step["effect"] and step["effect"]["verdict"] == "dead" for step in steps.values())
    outcome, out = checked["outcome"], printed(verdicts.show, ladder, checked)
    assert (outcome == "failed") == bool(checked["failures"]) == ("FAILED: " in out)
    assert (outcome == "reached") == ("passed: " in out)
    assert (outcome == "undecided") == ("UNDECIDED: " in out)
    if broken or last in ("missed", "accurate, not held", "diverged", "not run"):
        assert verdicts.EXITS[outcome] == 1
    elif outcome != "failed":  # steps that are not run may be over the budget too
        assert verdicts.EXITS[outcome] == (0 if last == "reached" else 3)
    if outcome == "failed":
        assert last in out
    assert outcome == "failed" or last in checked["words"]


def test_the_drawn_evidence_has_every_verdict() -> None:
    seen: set[str] = set()

    @settings(max_examples=60, phases=[Phase.generate])
    @given(climbs())
    def draw(climb: tuple[Ladder, dict[str, Arm]]) -> None:
        for found in gather(*climb, LABELS).values():
            seen.update([found.target.verdict, *([found.effect.verdict] if found.effect else [])])

    draw()
    assert {*TARGETS, *EFFECTS} - seen == set()
