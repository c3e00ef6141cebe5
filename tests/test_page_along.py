from typing import Any

import pytest

from stepladder import evidence
from stepladder.page import along

NAMES = "0123456789"


def make_step(id: str, n: int, missed: dict[int, int], **fields: Any) -> dict[str, Any]:
    images = [{"index": index, "label": index % 10, "missed_by": by, "answers": {"7": by}} for index, by in missed.items()]
    history = {str(seed): [{"test_accuracy": 0.9 + seed / 100}] for seed in range(n)}
    return {"id": id, "title": id, "n": n, "seeds": list(range(n)), "misclassified": images, "history": history} | fields


PARENT = make_step("p", 4, {1: 4, 2: 3, 3: 2, 4: 1, 5: 4})
CHILD = make_step("c", 2, {1: 0, 3: 2, 4: 2, 5: 2, 6: 1, 7: 2}, fixed=[1, 2], broken=[4, 7])
PICTURES = dict.fromkeys(range(10), "")


def test_images_that_turned_in_most_seeds_come_first() -> None:
    assert along.turned(CHILD, PARENT) == ([1, 2], [7, 4])  # of all seeds and of three in four; of all and of three in four
    assert along.turned(CHILD, None) == along.turned(make_step("c", 0, {}), PARENT) == ([], [])


def test_what_turned_is_told_with_what_was_answered_and_by_how_many() -> None:
    found = along.exchange(CHILD, PARENT, PICTURES, NAMES)
    assert found
    assert (found.before, found.seeds_before, found.seeds, found.fixed, found.broken) == ("p", 4, 2, 2, 2)
    assert found.fixed_shown == [along.Turned(1, "1", ["7"], 4, 0), along.Turned(2, "2", ["7"], 3, 0)]
    assert found.broken_shown == [along.Turned(7, "7", ["7"], 0, 2), along.Turned(4, "4", ["7"], 1, 2)]
    without = along.exchange(CHILD, PARENT, {1: ""}, NAMES)
    assert without
    assert (without.fixed, len(without.fixed_shown), without.broken, without.broken_shown) == (2, 1, 2, [])


def test_the_hardest_images_are_those_that_most_runs_missed() -> None:
    assert along.hardest([PARENT, CHILD])[:3] == [(5, 5, 6), (1, 1, 4), (3, 3, 4)]
    assert along.hard([PARENT, CHILD], PICTURES, NAMES)[0] == along.Hard(5, "5", 6, 6)
    assert along.hard([PARENT, make_step("c", 0, {})], PICTURES, NAMES) == []


def test_classes_are_shaded_from_the_highest_share_to_the_lowest() -> None:
    steps = [make_step("a", 1, {}, per_class=[0.9, None, 0.8]), make_step("b", 1, {}, per_class=[1.0, None, 0.9])]
    found = along.classes([*steps, make_step("c", 0, {}, per_class=None)], "abc")
    assert found
    assert found.rows == [("a", [(0.9, 0.5), None, (0.8, 1.0)], 2), ("b", [(1.0, 0.0), None, (0.9, 0.5)], 2)]
    assert along.classes([make_step("c", 0, {}, per_class=None)], "abc") is None


def test_an_interval_reaches_as_far_as_in_the_evidence() -> None:
    values = [0.1, 0.4, 0.2]
    found = evidence.estimate(values)
    assert found.high is not None
    assert found.sd is not None
    assert found.high - found.mean == pytest.approx(evidence.reach(3) * found.sd / 3**0.5)
