"""What every reader of a format must hand over."""

import numpy as np

from stepladder.data.found import Found


def kept(found: Found | None) -> Found:
    """What was found, after a look at whether it keeps the contract."""
    assert found
    for part in (found.train, found.test, found.validation):
        if part:
            assert part.images.dtype == part.labels.dtype == np.uint8
            assert part.images.flags.c_contiguous
            assert part.images.ndim == 4
            assert part.images.size > 0
            assert part.images.shape[1] in (1, 3)
            assert part.images.shape[1:] == found.train.images.shape[1:]
            assert part.labels.shape == (len(part.images),)
            assert found.names is None or part.labels.max() < len(found.names)
    return found
