"""The report as Markdown: a table of all steps, then Target, Result and Analysis of each."""

from collections.abc import Sequence
from typing import Any

from stepladder.analysis import cells, counted, percent, percents, point_range, points
from stepladder.page import words
from stepladder.steps import Ladder, Step

_HEADS = ("id", "step", "the one change", "parameters", "train %", "test %", "held", "target", "against parent")


def markdown(found: dict[str, Any], ladder: Ladder) -> str:
    """The report of `ladder` from report.json's data, ready to paste into a README."""
    steps = list(zip(found["steps"], ladder.steps, strict=True))
    lines = [
        f"**{ladder.name}**: {found['headline']}",
        "",
        f"Budget: {words.budget(found['budget'])}. {words.measured(found)}",
        "",
        *_table(_HEADS, [_row(data, step) for data, step in steps]),
        "",
        "Train and test are accuracies after the last epoch (mean ± standard deviation over seeds); train is as seen while "
        f"training. Held: seeds with the target in each of the last {counted(found['budget']['hold'], 'epoch')}, and the least "
        "share of all seeds that this shows. Against parent: the difference in test accuracy, in points, and whether the change "
        f"helps. {words.caution(found)}",
    ]
    if "climb" in found:
        lines += ["", *_climb(found["climb"])]
    for data, step in steps:
        lines += ["", *_section(data, step)]
    return "\n".join(lines) + "\n"


def _climb(found: dict[str, Any]) -> list[str]:
    """How the ladder was climbed; all that was tried is in climb.md."""
    lines = ["### How this ladder was climbed", "", f"{found['headline']} {found['judged']} All that was tried is in climb.md."]
    for heading, moves in (("Kept", found["kept"]), ("Taken while exploring, and not shown to help", found["set_back"])):
        if moves:
            lines += ["", f"**{heading}.**", "", *(f"- {_written(move['title'])}: {_seen(move)}" for move in moves)]
    return lines


def _seen(move: dict[str, Any]) -> str:
    if move["mean"] is None:
        return "not compared"
    if move["against"] is not None:
        return f"{percent(move['mean'])} over {counted(move['pairs'], 'run')} on images kept back"
    interval = "" if move["low"] is None else f" ({point_range(move['low'], move['high'])})"
    return f"{points(move['mean'])}{interval} over {counted(move['pairs'], 'pair')}, log-likelihood ratio {move['log_ratio']:+.1f}"


def _row(data: dict[str, Any], step: Step) -> list[str]:
    change = words.summary(step.change) if step.change else ""
    head = [data["id"], _written(step.label), change, f"{data['parameters']:,}"]
    return [
        *head,
        _figure(data, "train_accuracy"),
        _figure(data, "test_accuracy"),
        _held(data),
        data["target_verdict"],
        _effect(data),
    ]


def _figure(data: dict[str, Any], name: str) -> str:
    """Mean ± sd in percent, without the sign that the column's head has."""
    figure = data[name]
    if not figure:
        return "diverged" if data["diverged"] else "not run"
    mean = f"{100 * figure['mean']:.2f}"
    return mean if figure["sd"] is None else f"{mean} ± {100 * figure['sd']:.2f} (n={data['n']})"


def _held(data: dict[str, Any]) -> str:
    held = data["held"]
    return cells.held(held) if held else ""


def _effect(data: dict[str, Any]) -> str:
    effect = data["effect"]
    if not effect:
        return ""
    if effect["verdict"] == "dead":
        return "**dead**: nothing changed"
    return f"{points(effect['mean']).removesuffix(' points')}: {cells.effect(effect)}"


def _section(data: dict[str, Any], step: Step) -> list[str]:
    lines = [f"### {data['id']}: {_written(step.label)}", ""]
    if data["target"]:
        lines += [f"**Target.** {_written(data['target'])}", ""]
    lines += [f"**Result.** {_result(data, step)}", "", f"**Analysis.** {_written(data['analysis'])}"]
    if data["next"]:
        lines += ["", f"**Next.** {_written(data['next'])}", "", *(f"- {_written(each)}" for each in data["figures"])]
    if "exports" in data:
        lines += ["", "**Exports.**", "", *(f"- {_written(words.exported(each))}" for each in data["exports"])]
    if data["note"]:
        lines += ["", f"**Author's note.** {_written(data['note'])}"]
    return lines


def _result(data: dict[str, Any], step: Step) -> str:
    """The step's figures in a row."""
    texts = [counted(data["parameters"], "parameter")]
    for name, label in (("train_accuracy", "train"), ("test_accuracy", "test")):
        if figure := data[name]:
            interval = "" if figure["low"] is None else f" (95 % interval {percents(figure['low'], figure['high'])})"
            texts.append(f"{label} {percent(figure['mean'])}{interval}")
    if not data["test_accuracy"]:
        texts.append("diverged" if data["diverged"] else "not run")
    if data["test_accuracy"]:
        texts.append(f"target held by {_held(data)}: {data['target_verdict']}")
    elif data["target_verdict"] not in texts:
        texts.append(data["target_verdict"])
    if best := data["best"]:
        looked = f"{counted(best['epochs'], 'epoch')} x {counted(best['seeds'], 'seed')}"
        texts.append(f"best of {looked} {percent(best['accuracy'])}, a maximum")
    if effect := data["effect"]:
        interval = "" if effect["low"] is None else f" (95 % interval {point_range(effect['low'], effect['high'])})"
        if effect["verdict"] == "no difference":
            interval = f" (90 % interval {point_range(effect['low90'], effect['high90'])})"
        interval = " (one run each)" if effect["n"] == 1 else interval
        verdict = "**dead, nothing changed**" if effect["verdict"] == "dead" else cells.effect(effect)
        texts.append(f"{points(effect['mean'])}{interval} against {data['parent']}: {verdict}")
    change = f"Changed: {words.brief(step.change)}. " if step.change else ""
    module = f" {_written(data['module'])}" if "module" in data else ""
    device = f" {words.device(data['device'])}." if data.get("device") else ""
    return f"{change}{'; '.join(texts)}.{device}{module}"


def _written(text: str) -> str:
    """An author's words in one paragraph, without HTML of their own."""
    return " ".join(text.replace("<", "&lt;").split())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; a pipe in a cell is made harmless."""
    return [_line(heads), _line("---" for _ in heads), *map(_line, rows)]


def _line(cells: Any) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
