"""The sign-flip test for more pairs than can be counted through: patterns of signs, drawn from a fixed seed."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 99_999
BLOCK = 1 << 18
"""So many signs are worked on at a time: few enough for a processor's cache."""


def drawn_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean difference among `DRAWS` patterns of signs and the one found (Phipson and Smyth 2010): twice the
    smaller of the shares that are at least as large and at most as large.

    The patterns, the order of the sums and so p to the last bit are those of `scipy.stats.permutation_test(permutation_type=
    "samples", rng=default_rng(0))`, which takes hundreds of times as long. Sums are made by one matrix product; where that is too
    close to the one found for its rounding not to matter, they are made again in scipy's order.
    """
    values = np.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    found = np.mean(values)
    rounding = np.abs(100 * np.finfo(float).eps * found)
    near = 1e-12 * np.abs(values).sum()  # far above what rounding can do to a sum of so many terms
    below, above = 1, 1
    for flips in _flips(len(values)):
        signs = np.unpackbits(flips, axis=1, count=len(values))
        means = (2 * (signs.astype(float) @ values) - values.sum()) / len(values)
        close = np.flatnonzero(np.abs(np.abs(means) - abs(found)) <= near)
        for place in np.array_split(close, 1 + close.size * len(values) // BLOCK):
            means[place] = _in_order(np.where(signs[place], values, -values))
        below += int(np.count_nonzero(means <= found + rounding))
        above += int(np.count_nonzero(means >= found - rounding))
    return float(min(2 * (min(below, above) / (DRAWS + 1)), 1.0))


def _in_order(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row, its values added from left to right, as numpy does in an array whose columns lie together."""
    means: NDArray[np.float64] = np.asfortranarray(rows).mean(axis=1)
    return means


@lru_cache(maxsize=1)
def _flips(pairs: int) -> list[NDArray[np.uint8]]:
    """`DRAWS` patterns of so many signs, a bit each (0: the sign is turned), in blocks of rows. The steps of a ladder mostly have
    the same seeds, and so the same patterns."""
    draws = np.random.default_rng(0).bit_generator
    rows = 2 * max(1, BLOCK // (2 * pairs))  # even, as one number of 64 bits gives two signs
    return [_block(draws, min(rows, DRAWS - first), pairs) for first in range(0, DRAWS, rows)]


def _block(draws: np.random.BitGenerator, rows: int, pairs: int) -> NDArray[np.uint8]:
    """The lowest bit of each half of each number drawn, the lower half first: what `Generator.permuted` swaps pairs by."""
    numbers = draws.random_raw((rows * pairs + 1) // 2).astype("<u8", copy=False)
    signs = numbers.view("<u4")[: rows * pairs].astype(np.uint8) & 1
    return np.packbits(signs.reshape(rows, pairs), axis=1)
