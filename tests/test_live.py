"""How a sweep shows itself: its pace, its lines, and what counts before an epoch is done."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from rich.console import Console

from stepladder import Conv, GlobalAvgPool, Network, Recipe, Step, records, train
from stepladder.cli.ending import interruptible
from stepladder.job import Job, Setup
from stepladder.live import terminal
from stepladder.live.pace import Pace, clock
from stepladder.records import Epoch
from stepladder.sweep import Progress, Run, under_way

PLAIN = Step("Plain", Network([Conv(8, stride=2), Conv(10, activation=None), GlobalAvgPool()]), Recipe(epochs=3, batch_size=100))
LONG = replace(PLAIN, title="Long", id="a-step-with-an-id-of-fifty-characters-and-16-more")
EPOCH = Epoch(1, 0.01, 0.5, 0.98765, 0.4, 0.9912, 9912, 12.3)


def job(step: Step, seed: int = 0) -> Job:
    return Job("tiny", step, seed, Setup(Path("runs")))


def stands(*shares: float) -> Iterator[Progress]:
    """A run in its first epoch, then one of a long id after its first."""
    for share in shares:
        yield Progress([Run(job(PLAIN), [], "running", share)], [], [])
    yield Progress([Run(job(LONG, 12), [EPOCH], "running", 0.5)], [Run(job(PLAIN), [EPOCH] * 3, "finished")], [], 3)


def test_batches_of_the_first_epoch_count() -> None:
    now = Progress([Run(job(PLAIN), [], "running", 0.25)], [Run(job(PLAIN), [], "diverged")], [], 3)
    assert (now.epochs, now.done) == (3, 3.25)


def test_the_time_left_is_told_from_the_first_batches_on() -> None:
    pace = Pace(10)
    pace.see(0.0, 100.0)
    assert pace.left is None
    pace.see(0.25, 105.0)
    assert pace.left == pytest.approx(9.75 * 20)  # with the start of the processes
    pace.see(0.75, 108.0)
    assert pace.left == pytest.approx(9.25 * 6)  # without
    pace.see(1.75, 114.0)
    assert pace.left == pytest.approx(8.25 * 6)
    assert pace.gone == 14.0


def test_epochs_of_an_earlier_call_are_no_pace() -> None:
    pace = Pace(10)
    pace.see(5.0, 0.0)
    pace.see(6.0, 10.0)
    assert pace.left == pytest.approx(40)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.7, "1:00"), (725, "12:05"), (3725, "1:02:05")])
def test_times_as_clocks_show_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_plain_lines_are_whole_and_tell_the_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with patch("time.monotonic", iter(range(0, 100, 10)).__next__):
        terminal.show(stands(0.0, 0.3), [job(PLAIN), job(LONG, 12)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "epoch  1/3   train 98.77%  test 99.12%  12.3 s  (4/6 in all, about 0:0" in lines[-1]
    assert lines[-1].startswith(LONG.id)
    assert len({line.index(" seed ") for line in lines}) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_and_the_figures_of_long_ids_are_seen(capsys: pytest.CaptureFixture[str], width: int) -> None:
    *_, now = stands(0.3)
    pace = Pace(6, [(0.0, 0.0), (10.0, 0.3), (20.0, now.done)], 20.0)
    Console(width=width).print(terminal.screen(now, pace, [job(PLAIN), job(LONG, 12)], width))
    bar, *lines = capsys.readouterr().out.splitlines()
    assert bar.count("━") >= 8
    assert bar.endswith("4/6 epochs, 0:20 gone, about 0:04 left")
    assert not {"12", "1/3", "98.77%", "99.12%", "12.3"} - set(" ".join(lines).split())
    assert len(lines) == (2 if width == 60 else 1)
    assert max(map(len, lines)) <= width


def test_ids_take_as_many_columns_as_there_are_and_lines_are_aligned() -> None:
    assert terminal.id_width(["A4", "B4"], 80) == 2
    assert terminal.id_width([LONG.id, "B4"], 80) == 18
    lines = [terminal.line(Run(job(step), [EPOCH], "running"), width=18) for step in (PLAIN, LONG)]
    assert lines[1].startswith("a-step-with-an-id… seed 0 ")
    assert lines[0].index("train") == lines[1].index("train")
    assert "in its first epoch, 30% of it" in terminal.line(Run(job(PLAIN), [], "running", 0.3))


def test_a_run_under_way_notes_how_far_its_epoch_is(tmp_path: Path, small_mnist: Path) -> None:
    """Twenty batches an epoch, each of them noted."""
    seen, one = [], Job("tiny", PLAIN, 0, Setup(tmp_path / "runs", small_mnist))
    note = records.note

    def noted(folder: Path, epoch: int, share: float) -> None:
        note(folder, epoch, share)
        seen.append((epoch, under_way(one).share))

    with patch.object(train, "NOTE_SECONDS", 0.0), patch.object(records, "note", noted):
        train.train(one)
    assert [(epoch, round(20 * share, 3)) for epoch, share in seen] == [
        (epoch, batch) for epoch in (1, 2, 3) for batch in range(1, 21)
    ]
    assert sorted(path.name for path in one.folder.parent.iterdir()) == ["0"]


@pytest.mark.parametrize("text", ["", "1", "1 nan", "2 0.5", "x y", "1 0.5 3"])
def test_a_note_that_says_nothing_of_the_epoch_is_no_progress(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.tmp-note").write_text(text)
    assert records.noted(tmp_path / "0", 1) == 0.0


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_program_say_that_it_goes_on(capsys: pytest.CaptureFixture[str], number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, interruptible("It goes on."):
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err == "\nInterrupted. It goes on.\n"
    assert signal.getsignal(number) is before


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_a_hangup_that_is_ignored_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible("It goes on."):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
