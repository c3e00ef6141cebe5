"""README and docs/ say of the published results what these say: every accuracy, spread, interval, count and verdict."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepladder.analysis import cells
from stepladder.evidence import Effect, effect

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}

Found = dict[str, Any]
LADDERS = [json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in ("mnist-smallest", "mnist-8k", "mnist")]
STEPS: dict[str, Found] = {step["id"]: step for ladder in LADDERS for step in ladder["steps"]}
CLIMBED: dict[str, list[Found]] = {
    name: [step for step in json.loads((ROOT / "results" / name / "report.json").read_text())["steps"] if step["n"]]
    for name in ("climbed-colour", "climbed-8k")
}
"""Start and end of climbs."""
COLOUR = [epochs[-1]["test_accuracy"] for epochs in CLIMBED["climbed-colour"][0]["history"].values()]
"""The last epochs of the step that the colour climb began with."""
UNDER_8K, END_8K = CLIMBED["climbed-8k"]


# Results as they are written


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def spread(found: Found) -> str:
    return f"{percent(found['mean'])} ± {percent(found['sd'])}"


def accuracy(step: str) -> str:
    return spread(STEPS[step]["test_accuracy"])


def between(low: float, high: float, form: str = ".2f") -> str:
    return f"{100 * low:{form}} to {100 * high:{form}}"


def mean(step: str) -> str:
    return percent(STEPS[step]["test_accuracy"]["mean"])


def interval(step: str) -> str:
    return between(STEPS[step]["test_accuracy"]["low"], STEPS[step]["test_accuracy"]["high"])


def points(step: str) -> str:
    """An effect without its verdict."""
    found = STEPS[step]["effect"]
    return f"{100 * found['mean']:+.2f} ({between(found['low'], found['high'], '+.2f')})"


def parameters(step: str) -> str:
    return f"{STEPS[step]['parameters']:,}"


def held(step: str) -> str:
    found = STEPS[step]["held"]
    return f"{cells.count(found)} of {found['n']}"


def last(step: str, figure: str) -> dict[int, float]:
    """A figure after the last epoch, by seed."""
    return {int(seed): epochs[-1][figure] for seed, epochs in STEPS[step]["history"].items()}


def against(step: str, other: str) -> Effect:
    found = effect(last(step, "test_accuracy"), last(other, "test_accuracy"))
    assert found is not None
    return found


def loss(step: str, seeds: int = 10) -> str:
    return f"{np.mean([last(step, 'test_loss')[seed] for seed in range(seeds)]):.4f}"


def ninety(step: str, other: str) -> str:
    found = against(step, other)
    assert found.low90 is not None
    assert found.high90 is not None
    return f"{100 * found.mean:+.2f}, {between(found.low90, found.high90, '+.2f')}"


def sampling(step: str) -> str:
    return percent(STEPS[step]["sampling"])


# Tables


TABLE = re.compile(r"(?:^\|.*\|$\n?)+", flags=re.MULTILINE)


def rows_of(table: str) -> list[list[str]]:
    """The cells of a table, its titles first."""
    titles, _, *rows = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines())
    return [titles, *rows]


def tables(page: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The titles and the rows of a page's tables, without marks of emphasis."""
    for table in TABLE.findall(PAGES[page].replace("**", "")):
        titles, *rows = rows_of(table)
        yield titles, rows


def ladder_row(titles: list[str]) -> dict[str, Callable[[str], str]]:
    """How a column of a ladder's table is written of a step."""
    every: dict[str, Callable[[str], str]] = {
        "parameters": parameters,
        "seeds": lambda step: str(STEPS[step]["n"]),
        "train %": lambda step: spread(STEPS[step]["train_accuracy"]),
        "test %": accuracy,
        "95 % interval": interval,
        "held 99.40": held,
        "target": lambda step: str(STEPS[step]["target_verdict"]),
        "against the step before, points": lambda step: f"{points(step)}, {cells.effect(STEPS[step]['effect'])}",
    }
    return {title: every[title] for title in titles if title in every}


def test_the_tables_of_ladders_are_those_of_the_results() -> None:
    seen: list[str] = []
    for titles, rows in tables("results.md"):
        for row in rows:
            if titles[0] != "step":
                continue
            step, begins = row[0].split(",")[0].split(" (")[0], row is rows[0]
            columns = ladder_row(titles)
            assert len(columns) >= 5
            for title, written in zip(titles, row, strict=True):
                if title in columns and not (begins and title.startswith("against")):
                    assert written == columns[title](step), (step, title)
            if "95 % interval" not in titles or not begins:
                seen.append(step)
    assert sorted(set(seen)) == sorted(STEPS)


def test_the_table_of_what_is_reached_is_that_of_the_results() -> None:
    (titles, rows), *_ = tables("results.md")
    steps = []
    for row in rows:
        if found := re.search(r"--steps (\w+) --seeds (\d+)", row[-1]):
            step, cell = found[1], dict(zip(titles[1:], row[1:], strict=True))
            steps.append(step)
            assert found[2] == cell["n"] == str(STEPS[step]["n"])
            assert (cell["parameters"], cell["test"]) == (parameters(step), accuracy(step))
            assert cell["worst"] == percent(STEPS[step]["test_accuracy"]["worst"])
    assert steps == ["C7", "F5", "S2", "S4", "F2", "F1"]


def test_the_table_of_what_8_bits_cost_has_the_floats_of_the_results() -> None:
    _, rows = next(found for found in tables("export.md") if "multiply-adds" in found[0])
    step = ""
    for name, *cell in rows:
        step = name or step
        if cell[2] == "float":
            ten = [100 * last(step, "test_accuracy")[seed] for seed in range(10)]
            assert cell[:2] == [parameters(step), f"{STEPS[step]['macs']:,}"]
            assert cell[7] == f"{np.mean(ten):.3f} ± {np.std(ten, ddof=1):.3f}", step
        else:
            assert cell[4] == f"{STEPS[step]['device']['ram']:,}", step
    assert step == "F1"


# Sentences

SENTENCES = {
    "README.md": [
        f"{parameters('C7')} parameters: **{accuracy('C7')} %** of MNIST's test images after {STEPS['C7']['epochs']} epochs "
        f"(n = {STEPS['C7']['n']})",
        *(f"{parameters(step)} parameters: **{accuracy(step)} %** (n = {STEPS[step]['n']})" for step in ("S2", "F1")),
    ],
    "export.md": [
        f"C7 has {STEPS['C7']['device']['flash'] / 1000:.1f} kB of constants",
        f"F1 has {STEPS['F1']['device']['flash'] / 1000:.1f} kB",
        f"{STEPS['A4']['device']['ram']:,} bytes of RAM, {STEPS['A4']['device']['flash']:,} bytes of flash beside the code, "
        f"{STEPS['A4']['macs']:,} multiply-adds",
    ],
    "results.md": [
        f"99.40 held by {held('C7')} seeds**, so by at least {100 * STEPS['C7']['held']['least']:.0f} % of all",
        f"fewest parameters with a mean above 99.40** (95 % interval {interval('S2')})",
        f"whether its mean is 99.40 ({interval('S4')})",
        f"{held('C1')} seeds hold after it, none after weight decay",
        f"{loss('C9')}, {loss('C10')} and {loss('C7')}, the same 10 seeds",
        f"C9 {ninety('C9', 'C7')}; C10 {ninety('C10', 'C7')},",
        f"{accuracy('C9')} % (C9, {STEPS['C9']['n']} seeds; C7 with {STEPS['C7']['n']} has {mean('C7')} %)",
        f"answers between {percent(min(COLOUR))} and {percent(max(COLOUR))} % right",
        f"S2 of `mnist-smallest` has {accuracy('S2')} % with {parameters('S2')} parameters and as many epochs",
        f"ends at {END_8K['parameters']:,} parameters and {spread(END_8K['test_accuracy'])} % after {END_8K['epochs']} epochs, "
        f"{100 * (END_8K['test_accuracy']['mean'] - UNDER_8K['test_accuracy']['mean']):.2f} points above its start. C7 of "
        f"`mnist-8k`, which people and this project took days to find, has {accuracy('C7')} % with {parameters('C7')} after "
        f"{STEPS['C7']['epochs']}, and is held by {held('C7')} seeds; the climb's end is accurate, but held by "
        f"{cells.count(END_8K['held'])} of {END_8K['held']['n']}.",
        f"S2 with {parameters('S2')} parameters; whether S4 with {parameters('S4')} and a mean of {mean('S4')} %",
    ],
    "verdicts.md": [
        f"C1, one-cycle: {points('C1')} points, {STEPS['C1']['effect']['verdict']}",
        f"F2, fewer channels: {points('F2')} points, {STEPS['F2']['effect']['verdict']}",
        f"C5, batches of 64: {points('C5')} points",
        f"S2, anti-aliased pooling: {points('S2')} points",
        f"C3, weight decay: {points('C3')} points",
        f"up to {sampling('C7')} points to either side at {mean('C7')} %",
    ],
}


@pytest.mark.parametrize("page", SENTENCES)
def test_a_sentence_has_the_figures_of_the_results(page: str) -> None:
    text = " ".join(PAGES[page].split())
    assert [sentence for sentence in SENTENCES[page] if sentence not in text] == []


def test_the_verdicts_that_are_told_as_examples_are_those_of_the_results() -> None:
    assert STEPS["C5"]["effect"]["verdict"] == "no difference"
    assert STEPS["S2"]["effect"]["verdict"] == "undecided"
    assert cells.effect(STEPS["C3"]["effect"]).startswith("undecided (interval excludes 0")


def test_the_lowest_of_the_epochs_that_hold_is_told() -> None:
    lowest = min(epoch["test_accuracy"] for epochs in STEPS["C7"]["history"].values() for epoch in epochs[-5:])
    assert f"in each of the last 5 epochs (lowest {percent(lowest)})" in PAGES["results.md"]


CHECKED = {
    "train %",
    "test %",
    "95 % interval",
    "against the step before, points",
    "test",
    "worst",
    "the start, n = 10",
    "the end, n = 10",
}
"""Columns of which the tests above (and those of climbs in test_results) check each row."""

OTHERS = {
    "export.md": {"99.55": "BitNetMCU", "98.92": "BitNetMCU"},
    "results.md": {"99.40": "the target", "99.60": "aimed at once", "99.41": "the lowest epoch, above"}
    | dict.fromkeys(("99.44", "99.50", "99.46", "98.98", "99.10", "99.03"), "a public run"),
    "speed.md": dict.fromkeys(("99.47", "99.41", "99.32", "99.37"), "engines compared, with machine and date"),
}
"""Accuracies that are not those of the results, and whose they are."""


def unchecked(table: str) -> str:
    """A table without the columns that are checked."""
    titles, *rows = rows_of(table)
    return " ".join(cell for row in rows for title, cell in zip(titles, row, strict=True) if title not in CHECKED)


@pytest.mark.parametrize("page", PAGES)
def test_no_accuracy_is_told_that_nothing_here_checks(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    if page in ("results.md", "export.md"):
        text = TABLE.sub(lambda table: unchecked(table[0]), text)
    text = " ".join(text.split())
    for sentence in SENTENCES.get(page, []):
        text = text.replace(sentence, "")
    told = re.findall(r"(?<![\d.,])(?:9\d\.\d\d+|100\.00)(?!\d)", text)
    assert set(told) == set(OTHERS.get(page, {}))


# Figures of time, which are those of a machine

TIMES = re.compile(r"(?<![\w.])\d+(?:\.\d+)? (?:s|ms|min|minutes|seconds|MB|GFLOP/s)\b")


@pytest.mark.parametrize("page", PAGES)
def test_a_figure_of_speed_says_on_what_machine_and_when(page: str) -> None:
    for section in re.split(r"^#+ ", PAGES[page], flags=re.MULTILINE):
        if TIMES.search(re.sub(r"^```(?:sh|python).*?^```", "", section, flags=re.MULTILINE | re.DOTALL)):
            title = section.splitlines()[0]
            assert re.search(r"EPYC|Xeon", section), f"{page}, {title}: no machine"
            assert re.search(r"20\d\d-\d\d-\d\d", section), f"{page}, {title}: no date"


def test_the_readme_tells_the_times_of_the_speed_table() -> None:
    rows = [line.split(" | ") for line in PAGES["speed.md"].splitlines()]
    on_one = {row[0].strip("| ").split()[0]: (row[2], row[4].rstrip("x")) for row in rows if len(row) == 9 and row[1] == "1"}
    seconds, ratios = zip(*(on_one[name] for name in ("C7", "S2", "F1")), strict=True)
    told = (
        f"{seconds[0]}, {seconds[1]} and {seconds[2]} s, {ratios[0]}, {ratios[1]} and {ratios[2]} times faster than PyTorch eager"
    )
    assert told in " ".join(PAGES["README.md"].split())
