"""The sign-flip test on drawn patterns is scipy's, to the last bit."""

import numpy as np
import pytest
from scipy import stats

from stepladder.evidence.flips import drawn_p


def of_scipy(differences: list[float]) -> float:
    drawn = stats.permutation_test(
        (np.asarray(differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=99_999,
        batch=9_999,
        rng=np.random.default_rng(0),
    )
    return float(drawn.pvalue)


def scattered(pairs: int, shift: float, images: int) -> list[float]:
    """Differences of accuracies on so many images, of which few are small numbers: sums are often equal but for rounding."""
    random = np.random.default_rng(pairs)
    correct = random.integers(images * 9 // 10, images, (2, pairs))
    return [float(child - parent) for child, parent in (correct / images).T + np.array([shift, 0])]


@pytest.mark.parametrize("pairs", [21, 46])
@pytest.mark.parametrize(("shift", "images"), [(0.0, 20), (0.01, 1_000), (-0.02, 1_000)])
def test_p_is_that_of_scipy(pairs: int, shift: float, images: int) -> None:
    differences = scattered(pairs, shift, images)
    assert drawn_p(differences) == of_scipy(differences)


@pytest.mark.parametrize("differences", [[1e-4, -1e-4] * 15, [1e-4] * 25, [0.1 + 0.2 - 0.3, 1e-4, *[0.0] * 30]])
def test_p_is_that_of_scipy_where_most_sums_are_equal_but_for_rounding(differences: list[float]) -> None:
    assert drawn_p(differences) == of_scipy(differences)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert drawn_p([0.0] * 21) == of_scipy([0.0] * 21) == 1.0
