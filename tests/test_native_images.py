"""The native engine's input stage: the same batches as the plain one's, resampled and normalised in one pass."""

from collections.abc import Callable
from math import inf, nan

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from native_twin import threads
from torch import Tensor

from stepladder import Affine
from stepladder.augment import draw_maps
from stepladder.engine import native, plain
from stepladder.streams import stream

MEAN, DEVIATION = (0.1307, 0.45, 0.5), (0.3081, 0.2, 0.7)
GREY = (MEAN[:1], DEVIATION[:1])
BACKGROUND = -MEAN[0] / DEVIATION[0]
IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])

sizes = st.tuples(st.integers(1, 3), st.integers(1, 33), st.integers(1, 33))
"""Channels, height and width."""


def images(size: tuple[int, int, int], count: int = 6) -> Tensor:
    return torch.randint(0, 256, (count, *size), dtype=torch.uint8, generator=stream(0, *size))


def both(levels: Tensor, chosen: Tensor, maps: Tensor | None) -> tuple[Tensor, Tensor]:
    channels = levels.shape[1]
    found, expected = (engine.batch(levels, chosen, maps, MEAN[:channels], DEVIATION[:channels]) for engine in (native, plain))
    assert found.shape == expected.shape == (len(chosen), *levels.shape[1:])
    assert found.dtype is expected.dtype is torch.float32
    return found, expected


@given(sizes, st.lists(st.integers(0, 5), max_size=40))
def test_a_batch_is_the_plain_one(size: tuple[int, int, int], chosen: list[int]) -> None:
    found, expected = both(images(size), torch.tensor(chosen, dtype=torch.int64), None)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@given(
    sizes,
    st.builds(
        Affine,
        rotate=st.floats(1, 359),
        shift=st.floats(0, 40),
        scale=st.floats(0, 0.9),
        shear=st.floats(0, 60),
    ),
    st.integers(1, 40),
)
@example((1, 28, 28), Affine(rotate=15), 40)
@example((3, 32, 32), Affine(rotate=15), 40)
def test_a_mapped_batch_is_the_plain_one(size: tuple[int, int, int], augmentation: Affine, count: int) -> None:
    """To 1e-4: positions are rounded to about 1e-6 of the image, and neighbours may differ by 3 deviations."""
    chosen = torch.randint(0, 6, (count,), generator=stream(1))
    found, expected = both(images(size), chosen, draw_maps(augmentation, count, stream(2)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@given(sizes)
def test_the_identity_changes_nothing(size: tuple[int, int, int]) -> None:
    levels, chosen, both = images(size), torch.arange(6), (MEAN[: size[0]], DEVIATION[: size[0]])
    mapped = native.batch(levels, chosen, IDENTITY.repeat(6, 1, 1), *both)
    torch.testing.assert_close(mapped, native.batch(levels, chosen, None, *both), rtol=0, atol=1e-5)


@given(sizes, st.booleans())
def test_a_channel_gets_the_bits_that_it_gets_alone(size: tuple[int, int, int], mapped: bool) -> None:
    levels, chosen = images(size), torch.arange(6)
    maps = draw_maps(Affine(rotate=30, shift=2), 6, stream(2)) if mapped else None
    whole = native.batch(levels, chosen, maps, MEAN[: size[0]], DEVIATION[: size[0]])
    for number in range(size[0]):
        alone = levels[:, number : number + 1].contiguous()
        assert torch.equal(
            whole[:, number : number + 1],
            native.batch(alone, chosen, maps, MEAN[number : number + 1], DEVIATION[number : number + 1]),
        )


@pytest.mark.parametrize("shift", [(28.5, 0.0), (-29.0, 0.0), (0.0, 21.0), (0.0, -1e9), (1e30, 1e30), (inf, 0.0), (nan, nan)])
def test_an_image_that_is_mapped_out_of_view_leaves_the_background(shift: tuple[float, float]) -> None:
    grey = torch.full((1, 1, 20, 28), 255, dtype=torch.uint8)
    maps = IDENTITY.clone().unsqueeze(0)
    maps[0, :, 2] = torch.tensor(shift)
    batch = native.batch(grey, torch.zeros(1, dtype=torch.int64), maps, *GREY)
    torch.testing.assert_close(batch, torch.full((1, 1, 20, 28), BACKGROUND))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 200])
def test_any_number_of_threads_gives_the_same_bits(count: int) -> None:
    chosen, maps = torch.randint(0, 6, (count,), generator=stream(1)), draw_maps(Affine(rotate=20, shift=3), count, stream(2))
    found = []
    for number in (1, 2, 3, 5):
        with threads(number):
            found.append([native.batch(images((3, 19, 28)), chosen, given, MEAN, DEVIATION) for given in (None, maps)])
    assert all(torch.equal(*pair) for batches in found for pair in zip(batches, found[0], strict=True))


def test_no_images_chosen_is_an_empty_batch() -> None:
    assert native.batch(images((1, 5, 4)), torch.zeros(0, dtype=torch.int64), None, *GREY).shape == (0, 1, 5, 4)


@pytest.mark.parametrize("index", [6, -1, 2**40, -(2**63)])
def test_an_index_that_no_image_has_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"{index}.* 6 images"):
        native.batch(images((1, 5, 4)), torch.tensor([0, index, 5]), None, *GREY)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda x, i, m: (x.float(), i, m),
            TypeError,
            "images: found torch.float32 on cpu, expected torch.uint8",
        ),
        (lambda x, i, m: (x.mT, i, m), ValueError, r"images: found strides .* expected a contiguous tensor"),
        (lambda x, i, m: (x[0], i, m), ValueError, r"images: found shape \(1, 5, 4\), expected n x 1 x n x n"),
        (
            lambda x, i, m: (x, i.int(), m),
            TypeError,
            "chosen: found torch.int32 on cpu, expected torch.int64",
        ),
        (
            lambda x, i, m: (x, i[::2], m[::2]),
            ValueError,
            r"chosen: found strides \(2,\), expected a contiguous",
        ),
        (
            lambda x, i, m: (x, i, m.double()),
            TypeError,
            "maps: found torch.float64 on cpu, expected torch.float32",
        ),
        (lambda x, i, m: (x, i, m[1:]), ValueError, r"maps: found shape \(5, 2, 3\), expected 6 x 2 x 3"),
        (lambda x, i, m: (x, i, m.mT.contiguous().mT), ValueError, "maps: found strides"),
    ],
)
def test_what_does_not_fit_is_an_error_and_never_copied(
    change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        native.batch(*change(images((1, 5, 4)), torch.arange(6), IDENTITY.repeat(6, 1, 1)), *GREY)
