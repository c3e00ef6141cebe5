import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arms import IMAGES, LABELS, arm
from recorded import record_small, small_ladder

from stepladder import Budget, Conv, GlobalAvgPool, Ladder, Network, Recipe, Step, StepLR, data, records
from stepladder.evidence import SUSPECTS, Arm, Evidence, Target, between, compare, estimate, gather, load
from stepladder.job import Setup

ROOT = Step("Plain", Network([Conv(4), Conv(10, activation=None), GlobalAvgPool()]), Recipe(epochs=4))
DROPOUT = ROOT.then("Dropout", dropout=0.05)
DECAY = DROPOUT.then("Decay", schedule=StepLR(2))
LADDER = Ladder("memory", Budget(parameters=1_000, epochs=4, accuracy=0.99, hold=2), [ROOT, DROPOUT, DECAY])
NONE = Arm([], {})


def ends(*last: float) -> dict[int, list[float]]:
    """Histories of four epochs that end like this, for seeds 0, 1, ..."""
    return {seed: [0.95, 0.97, accuracy - 0.001, accuracy] for seed, accuracy in enumerate(last)}


def gathered(plain: Arm = NONE, dropout: Arm = NONE, decay: Arm = NONE) -> list[Evidence]:
    found = gather(LADDER, {"plain": plain, "dropout": dropout, "decay": decay}, LABELS)
    assert list(found) == ["plain", "dropout", "decay"]
    return list(found.values())


def test_a_step_is_judged_at_its_last_epoch() -> None:
    found, _, _ = gathered(arm(ROOT, ends(0.9920, 0.9930, 0.9925), train=0.997))
    assert (found.epochs, found.seeds, found.diverged) == (4, (0, 1, 2), ())
    assert found.test == estimate([0.9920, 0.9930, 0.9925])
    assert found.train is not None
    assert found.train.mean == pytest.approx(0.997 + 1 / 20_000)
    assert found.held is not None
    assert (found.held.count, found.held.n) == (3, 3)
    assert found.lowest == pytest.approx(0.9910)
    assert found.best is not None
    assert (found.best.accuracy, found.best.epochs, found.best.seeds) == (0.9930, 4, 3)
    assert found.target == Target("reached")
    assert found.sampling == pytest.approx(1.96 * (0.9925 * 0.0075 / IMAGES) ** 0.5, rel=1e-4)
    assert found.late is not None
    assert found.late.moves.mean == pytest.approx(0.001)
    assert (found.effect, found.cut) == (None, None)


def test_errors_are_summed_over_the_finished_seeds() -> None:
    found, _, _ = gathered(arm(ROOT, ends(0.9920, 0.9930) | {2: [0.9]}, diverged=[2]))
    assert found.confusion is not None
    assert np.sum(found.confusion) == 2 * IMAGES
    assert np.trace(found.confusion) == 9920 + 9930
    assert found.per_class is not None
    assert found.per_class[4] == found.confusion[4][4] / 2000
    assert sum(image.missed_by for image in found.missed) == 80 + 70


def test_a_seed_that_diverged_holds_nothing_and_is_in_no_mean() -> None:
    found, _, _ = gathered(arm(ROOT, ends(0.9920, 0.9930) | {2: [0.9, 0.8]}, diverged=[2]))
    assert (found.seeds, found.diverged) == ((0, 1), (2,))
    assert found.test == estimate([0.9920, 0.9930])
    assert found.held is not None
    assert (found.held.count, found.held.n) == (2, 3)
    assert found.target.verdict == "undecided"


def test_where_all_diverged_there_is_a_share_and_a_verdict_and_nothing_else() -> None:
    found, after, _ = gathered(arm(ROOT, {0: [0.9], 1: []}, diverged=[0, 1]), arm(DROPOUT, ends(0.99, 0.99)))
    assert found == Evidence(4, Target("diverged"), diverged=(0, 1), held=found.held)
    assert found.held is not None
    assert (found.held.count, found.held.n) == (0, 2)
    assert after.effect is None


def test_a_step_that_is_not_run_shows_nothing() -> None:
    assert gathered() == [Evidence(4, Target("not run"))] * 3


def test_without_a_shared_seed_there_is_no_effect() -> None:
    _, found, _ = gathered(arm(ROOT, ends(0.99)), arm(DROPOUT, {5: [0.9, 0.9, 0.9, 0.99]}))
    assert found.effect is None
    assert found.test is not None
    assert found.target == Target("one run: too few to judge", found.target.seeds)


def test_one_run_has_one_number_of_seeds_for_target_and_effect() -> None:
    _, alone, _ = gathered(dropout=arm(DROPOUT, ends(0.9940)))
    _, found, _ = gathered(arm(ROOT, ends(0.9920)), arm(DROPOUT, ends(0.9940)))
    assert found.effect is not None
    assert (alone.target.seeds, found.target.seeds, found.effect.pairs_needed) == (3, 6, 6)


def test_the_effects_of_a_ladder_are_corrected_and_those_of_a_comparison_are_not() -> None:
    six = [0.9920, 0.9925, 0.9930, 0.9922, 0.9927, 0.9924]
    plain, dropout = arm(ROOT, ends(*six)), arm(DROPOUT, ends(*(value + 0.001 + k / 10_000 for k, value in enumerate(six))))
    decay = arm(DECAY, ends(*six))
    _, first, second = gathered(plain, dropout, decay)
    assert first.effect is not None
    assert second.effect is not None
    assert [first.effect.p, first.effect.p_holm] == [2 / 64, 4 / 64]
    assert [first.effect.verdict, second.effect.verdict] == ["undecided", "undecided"]
    alone = compare(dropout, plain, LABELS)
    assert alone is not None
    assert (alone.p_holm, alone.verdict) == (2 / 64, "helps")
    skipped = compare(decay, plain, LABELS)  # any two steps
    assert skipped is not None
    assert skipped.mean == pytest.approx(0)


def test_two_steps_of_which_one_comes_after_the_other_have_the_effect_of_the_ladder_either_way() -> None:
    six = [0.9920, 0.9925, 0.9930, 0.9922, 0.9927, 0.9924]
    better = ends(*(value + 0.001 + k / 10_000 for k, value in enumerate(six)))
    arms = {"plain": arm(ROOT, ends(*six)), "dropout": arm(DROPOUT, better), "decay": arm(DECAY, ends(*six))}
    found = between(LADDER, arms, LABELS, DROPOUT, ROOT)
    assert found == gather(LADDER, arms, LABELS)["dropout"].effect
    assert found is not None
    back = between(LADDER, arms, LABELS, ROOT, DROPOUT)
    assert back is not None
    assert (back.p_holm, back.verdict, back.reason) == (found.p_holm, found.verdict, found.reason)
    assert back.mean == -found.mean
    assert between(LADDER, arms, LABELS, DECAY, ROOT) == compare(arms["decay"], arms["plain"], LABELS)
    assert between(LADDER, arms | {"decay": NONE}, LABELS, DECAY, DROPOUT) is None


def test_one_pair_is_compared_image_by_image() -> None:
    plain, dropout = arm(ROOT, ends(0.9920)), arm(DROPOUT, ends(0.9940), hard=7)
    _, found, _ = gathered(plain, dropout)
    assert found.effect is not None
    assert found.effect.mcnemar is not None
    assert found.effect.mcnemar.only_child - found.effect.mcnemar.only_parent == 20
    right, before = dropout.answers[0] == LABELS, plain.answers[0] == LABELS
    assert found.effect.mcnemar.only_child == np.sum(right & ~before)
    assert (found.effect.p_holm, found.effect.verdict) == (1.0, "one pair: too few to judge")


def test_one_shared_pair_among_more_seeds_is_the_one_that_is_compared() -> None:
    plain = arm(ROOT, {3: [0.9, 0.9, 0.9, 0.99], 4: [0.9, 0.9, 0.9, 0.98]})
    dropout = arm(DROPOUT, {4: [0.9, 0.9, 0.9, 0.985], 5: [0.9, 0.9, 0.9, 0.97]})
    found = compare(dropout, plain, LABELS)
    assert found is not None
    assert found.mcnemar is not None
    assert found.mcnemar.only_child - found.mcnemar.only_parent == 50


def test_several_pairs_are_not_compared_image_by_image() -> None:
    found = compare(arm(DROPOUT, ends(0.99, 0.98)), arm(ROOT, ends(0.98, 0.98)), LABELS)
    assert found is not None
    assert found.mcnemar is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_step_with_the_weights_of_its_parent_is_dead(seeds: int) -> None:
    last = [0.9920, 0.9930, 0.9925][:seeds]
    _, found, _ = gathered(arm(ROOT, ends(*last)), arm(DROPOUT, ends(*last), weights="plain"))
    assert found.effect is not None
    assert (found.effect.live, found.effect.mean, found.effect.p, found.effect.verdict) == (False, 0.0, 1.0, "dead")


def test_a_cut_of_the_learning_rate_is_found_in_the_records() -> None:
    _, _, found = gathered(decay=arm(DECAY, ends(0.99, 0.991)))
    assert found.cut is not None
    assert (found.cut.epoch, found.cut.epochs) == (3, 2)


def test_one_epoch_to_hold_and_one_epoch_to_train() -> None:
    step = replace(ROOT, recipe=replace(ROOT.recipe, epochs=1))
    for hold in (1, 5):
        ladder = Ladder("memory", Budget(1_000, 1, 0.99, hold), [step])
        found = gather(ladder, {"plain": arm(step, {0: [0.99], 1: [0.995], 2: [0.996]})}, LABELS)["plain"]
        assert found.held is not None
        assert found.held.count == (3 if hold == 1 else 0)
        assert (found.late, found.cut, found.lowest) == (None, None, 0.99)


def test_suspect_labels_are_marked_in_the_embedded_mnist_alone() -> None:
    for digest, known in ((data.MNIST_DIGEST, SUSPECTS), ("another", frozenset[int]())):
        found, _, _ = gathered(arm(ROOT, ends(0.5, 0.5), data=digest))
        marked = {image.index for image in found.missed if image.suspect}
        assert marked == known & {image.index for image in found.missed}
        assert len(marked) > 5 or not known


@pytest.fixture
def setup(tmp_path: Path, small_mnist: Path) -> Setup:
    """The records of `small_ladder`."""
    made = Setup(tmp_path / "runs", small_mnist)
    record_small(made)
    return made


def test_arms_are_read_from_the_records_by_step_with_their_answers(setup: Setup) -> None:
    arms = load(small_ladder().steps, setup)
    assert list(arms) == ["plain", "narrow", "dropout", "decay", "rotation"]
    narrow = arms["narrow"]
    assert [(record.seed, record.status) for record in narrow.records] == [
        (0, "finished"), (1, "finished"), (2, "finished"), (3, "diverged"),
    ]  # fmt: skip
    assert list(narrow.answers) == [0, 1, 2]
    assert arms["decay"] == Arm([], {})
    labels = data.load(setup.data).test_labels
    for record in narrow.finished:
        answers = narrow.answers[record.seed]
        assert answers.dtype == np.uint8
        assert np.sum(answers == labels) == record.history[-1].test_correct
        counts = np.zeros((10, 10), int)
        np.add.at(counts, (labels, answers), 1)
        assert counts.tolist() == record.confusion


def test_some_steps_can_be_read_alone(setup: Setup) -> None:
    ladder = small_ladder()
    assert list(load([ladder.step("rotation"), ladder.step("plain")], setup)) == ["rotation", "plain"]


def test_what_is_read_can_be_gathered(setup: Setup) -> None:
    ladder = small_ladder()
    found = gather(ladder, load(ladder.steps, setup), data.load(setup.data).test_labels)
    assert {step: len(evidence.seeds) for step, evidence in found.items()} == {
        "plain": 3, "narrow": 3, "dropout": 3, "decay": 0, "rotation": 1,
    }  # fmt: skip
    assert [evidence.exchanged is None for evidence in found.values()] == [True, False, False, True, False]
    verdicts = [evidence.effect and evidence.effect.verdict for evidence in found.values()]
    assert verdicts == [None, "undecided", "dead", None, "one pair: too few to judge"]


def test_a_damaged_run_is_set_aside_with_the_reason_and_the_others_are_read(setup: Setup) -> None:
    ladder = small_ladder()
    (logits,) = setup.runs.glob("plain-*/1/logits.safetensors")
    logits.write_bytes(b"no tensors")
    shutil.copytree(logits.parent.with_name("2"), logits.parent.with_name("7"))  # a third seed that is none
    plain = load(ladder.steps, setup)["plain"]
    assert [record.seed for record in plain.records] == [0, 2]
    damaged, copied = plain.damaged
    assert damaged.startswith(f"{logits}: damaged: its SHA-256 is ")
    assert copied.startswith(f"{logits.parent.with_name('7') / 'run.json'}: it is the record of fingerprint")
    assert records.exists(logits.parent)


def test_a_run_that_answers_with_more_classes_than_its_step_has_is_set_aside(setup: Setup) -> None:
    """As somebody may write one: all that it says fits its logits, but no other run's confusion matrix can be added to its own."""
    plain = small_ladder().step("plain")
    folder = records.recorded(setup.runs, setup.fingerprint(plain))[0]
    record, logits = records.read(folder), records.read_logits(folder, records.read(folder))
    assert record.confusion
    wider = [[*row, 0] for row in record.confusion] + [[0] * 11]
    shutil.rmtree(folder)
    weights = b"plain 0"
    records.write(folder, replace(record, confusion=wider), weights, np.pad(logits, ((0, 0), (0, 1)), constant_values=-1))
    arm = load([plain], setup)["plain"]
    assert [record.seed for record in arm.records] == [1, 2]
    assert arm.damaged == (f"{folder / 'run.json'}: its confusion matrix has 11 classes, expected 10 of step plain",)


def test_a_damaged_copy_of_a_run_hides_no_whole_one(setup: Setup) -> None:
    plain = small_ladder().step("plain")
    whole = records.recorded(setup.runs, setup.fingerprint(plain))[1]
    for name, file in (("a", "run.json"), ("b", "weights.safetensors"), ("z", "run.json")):  # the last is not needed, nor read
        copy = whole.parent.with_name(whole.parent.name.replace("plain", name)) / "1"
        shutil.copytree(whole, copy)
        (copy / file).write_bytes(b"damaged")
    arm = load([plain], setup)["plain"]
    assert [record.seed for record in arm.records] == [0, 1, 2]
    assert arm.folders[1] == whole
    assert [reason.split(": ")[0].rpartition("/")[2] for reason in arm.damaged] == ["run.json", "weights.safetensors"]
