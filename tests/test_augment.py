import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stepladder import Affine, Erasing, data
from stepladder.augment import draw_boxes, draw_maps, erase, normalise, resample
from stepladder.engine import native, plain
from stepladder.streams import stream
from stepladder.train import Draws, Images

seeds = st.integers(0, 1000)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def one_map(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float32)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (1, height, width), dtype=torch.uint8, generator=stream(seed, "test"))


def assert_same_grey(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=0.02)  # of 255


def of_grey(images: Tensor, maps: Tensor) -> Tensor:
    """Images without channels resampled."""
    return resample(images.unsqueeze(1), maps).squeeze(1)


# Resampling: maps made by hand


@given(sizes, seeds)
def test_the_identity_changes_nothing(size: tuple[int, int], seed: int) -> None:
    images = noise(*size, seed)
    assert_same_grey(of_grey(images, one_map((1, 0, 0), (0, 1, 0))), images)


@given(size=st.integers(1, 12), seed=seeds)
def test_a_quarter_turn_is_rot90(size: int, seed: int) -> None:
    images = noise(size, size, seed)
    assert_same_grey(of_grey(images, one_map((0, 1, 0), (-1, 0, 0))), images.rot90(-1, (1, 2)))
    assert_same_grey(of_grey(images, one_map((0, -1, 0), (1, 0, 0))), images.rot90(1, (1, 2)))


def test_a_quarter_turn_of_an_image_that_is_not_square_keeps_pixels_square() -> None:
    images = noise(4, 8)
    turned = of_grey(images, one_map((0, 1, 0), (-1, 0, 0)))
    assert_same_grey(turned[:, :, 2:6], images[:, :, 2:6].rot90(-1, (1, 2)))  # the central square turns as in a square image
    assert_same_grey(turned[:, :, [0, 1, 6, 7]], torch.zeros(1, 4, 4))


@given(size=sizes, by=st.tuples(st.integers(-3, 3), st.integers(-3, 3)), seed=seeds)
def test_a_whole_shift_moves_pixels_and_fills_with_background(size: tuple[int, int], by: tuple[int, int], seed: int) -> None:
    images, (height, width), (x, y) = noise(*size, seed), size, by
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3))
    expected = padded[:, 3 + y : 3 + y + height, 3 + x : 3 + x + width]
    assert_same_grey(of_grey(images, one_map((1, 0, x), (0, 1, y))), expected)


def test_half_a_shift_is_the_mean_of_two_pixels() -> None:
    images = torch.tensor([[[0, 100, 40, 200]]], dtype=torch.uint8)
    assert_same_grey(of_grey(images, one_map((1, 0, 0.5), (0, 1, 0))), torch.tensor([[[50, 70, 120, 100]]]))


def test_an_image_twice_as_large_shows_its_middle() -> None:
    images = torch.zeros(1, 8, 8, dtype=torch.uint8)
    images[:, 2:6, 2:6] = 200
    assert_same_grey(of_grey(images, one_map((0.5, 0, 0), (0, 0.5, 0)))[:, 1:7, 1:7], torch.full((1, 6, 6), 200))


def test_the_corners_of_a_turned_image_are_background() -> None:
    images = torch.full((1, 28, 28), 255, dtype=torch.uint8)
    turned = of_grey(images, one_map((math.sqrt(0.5), math.sqrt(0.5), 0), (-math.sqrt(0.5), math.sqrt(0.5), 0)))
    corners = turned[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.tolist() == [0, 0, 0, 0]
    assert_same_grey(turned[:, 10:18, 10:18], torch.full((1, 8, 8), 255))


def test_every_image_has_a_map_of_its_own() -> None:
    images = noise(6, 6).repeat(2, 1, 1)
    found = of_grey(images, torch.cat([one_map((1, 0, 0), (0, 1, 0)), one_map((1, 0, 1), (0, 1, 0))]))
    assert_same_grey(found[0], images[0])
    assert_same_grey(found[1, :, :-1], images[1, :, 1:])


def test_every_channel_is_mapped_alike() -> None:
    colour = torch.cat([noise(7, 9, seed) for seed in range(3)]).unsqueeze(0)
    found = resample(colour, one_map((0.9, 0.2, 1.3), (-0.1, 1.1, 0.4)))
    for number in range(3):
        assert torch.equal(found[:, number], of_grey(colour[:, number], one_map((0.9, 0.2, 1.3), (-0.1, 1.1, 0.4))))


# Drawing maps

augmentations = st.builds(
    Affine, rotate=st.floats(0.5, 179), shift=st.floats(0, 5), scale=st.floats(0, 0.9), shear=st.floats(0, 80)
)


@given(augmentation=st.builds(Affine, rotate=st.floats(0.5, 179)), seed=seeds)
def test_rotations_are_rotations_within_the_angle(augmentation: Affine, seed: int) -> None:
    maps = draw_maps(augmentation, 50, stream(seed)).double()
    linear = maps[:, :, :2]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).double().expand(50, 2, 2), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.linalg.det(linear), torch.ones(50).double(), rtol=0, atol=1e-6)
    angles = torch.atan2(maps[:, 0, 1], maps[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= augmentation.rotate + 1e-4
    assert angles.min() < 0 < angles.max()  # both ways
    assert not maps[:, :, 2].any()


@given(augmentation=st.builds(Affine, shift=st.floats(0.1, 10)), seed=seeds)
def test_shifts_are_within_their_pixels_along_both_axes(augmentation: Affine, seed: int) -> None:
    maps = draw_maps(augmentation, 50, stream(seed))
    assert torch.equal(maps[:, :, :2], torch.eye(2).expand(50, 2, 2))
    assert maps[:, :, 2].abs().max() <= augmentation.shift + 1e-5
    assert (maps[:, :, 2].amin(0) < 0).all()
    assert (maps[:, :, 2].amax(0) > 0).all()
    assert not torch.equal(maps[:, 0, 2], maps[:, 1, 2])


@given(augmentation=st.builds(Affine, scale=st.floats(0.05, 0.9)), seed=seeds)
def test_scales_are_within_their_fraction(augmentation: Affine, seed: int) -> None:
    maps = draw_maps(augmentation, 50, stream(seed))
    factors = 1 / maps[:, 0, 0]  # maps go from output to input
    assert torch.equal(maps[:, :, :2], maps[:, 0, 0, None, None] * torch.eye(2))
    assert 1 - augmentation.scale - 1e-5 <= factors.min() < 1 < factors.max() <= 1 + augmentation.scale + 1e-5


@given(augmentation=st.builds(Affine, shear=st.floats(0.5, 80)), seed=seeds)
def test_shears_slant_by_at_most_their_angle_and_keep_areas(augmentation: Affine, seed: int) -> None:
    maps = draw_maps(augmentation, 50, stream(seed))
    angles = maps[:, 0, 1].double().atan().rad2deg()
    assert angles.min() < 0 < angles.max()
    assert angles.abs().max() <= augmentation.shear + 1e-4
    assert torch.equal(maps[:, [0, 1, 1], [0, 0, 1]], torch.tensor([1.0, 0, 1]).expand(50, 3))


@given(augmentations, seeds)
def test_the_whole_map_is_the_product_of_its_parts(augmentation: Affine, seed: int) -> None:
    def part(**values: float) -> Tensor:
        if not any(values.values()):
            return torch.eye(2, dtype=torch.float64).expand(20, 2, 2)
        return draw_maps(Affine(**values), 20, stream(seed)).double()[:, :, :2]

    whole = draw_maps(augmentation, 20, stream(seed)).double()[:, :, :2]
    parts = part(rotate=augmentation.rotate) @ part(shear=augmentation.shear) @ part(scale=augmentation.scale)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-4)


def test_draws_fill_their_range_evenly() -> None:
    shifts = draw_maps(Affine(shift=2), 20_000, stream(0))[:, 0, 2]
    quarters = torch.histc(shifts, bins=4, min=-2, max=2) / len(shifts)
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), rtol=0, atol=0.02)


def test_rotations_stay_as_they_were_when_a_shift_is_added() -> None:
    alone = draw_maps(Affine(rotate=15), 100, stream(0, "augmentation", 0))
    both = draw_maps(Affine(rotate=15, shift=2), 100, stream(0, "augmentation", 0))
    assert torch.equal(both[:, :, :2], alone[:, :, :2])
    assert both[:, :, 2].any()


def test_maps_repeat_with_their_stream() -> None:
    augmentation = Affine(rotate=15, shift=2, scale=0.1, shear=5)
    assert torch.equal(draw_maps(augmentation, 10, stream(3)), draw_maps(augmentation, 10, stream(3)))
    assert not torch.equal(draw_maps(augmentation, 10, stream(3)), draw_maps(augmentation, 10, stream(4)))


# Erasing

boxed = st.builds(Erasing, st.just(1.0), st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda pair: (min(pair), max(pair))))


@given(boxed, st.tuples(st.integers(1, 40), st.integers(1, 40)), seeds)
def test_boxes_lie_within_the_image_and_none_is_empty(erasing: Erasing, size: tuple[int, int], seed: int) -> None:
    top, bottom, left, right = draw_boxes(erasing, 50, size, stream(seed)).unbind(1)
    assert ((top >= 0) & (top < bottom) & (bottom <= size[0])).all()
    assert ((left >= 0) & (left < right) & (right <= size[1])).all()


@given(boxed, st.integers(20, 40), seeds)
def test_boxes_are_of_the_area_and_shape_asked_for(erasing: Erasing, side: int, seed: int) -> None:
    top, bottom, left, right = draw_boxes(erasing, 50, (side, side), stream(seed)).double().unbind(1)
    tall, wide = bottom - top, right - left
    low, high = (share * side**2 for share in erasing.area)
    assert ((tall + 0.5) * (wide + 0.5) >= low).all()  # sides are rounded
    assert ((tall - 0.5) * (wide - 0.5) <= high).all()
    assert ((tall - 0.5) <= (wide + 0.5) * 10 / 3).all()
    assert ((wide - 0.5) <= (tall + 0.5) * 10 / 3).all()


def test_areas_shapes_and_places_of_boxes_are_drawn_evenly() -> None:
    top, bottom, left, right = draw_boxes(Erasing(1, (0.04, 0.2)), 20_000, (100, 100), stream(0)).double().unbind(1)
    tall, wide = bottom - top, right - left
    areas = torch.histc(tall * wide / 10_000, bins=4, min=0.04, max=0.2) / 20_000
    torch.testing.assert_close(areas, torch.full((4,), 0.25).double(), rtol=0, atol=0.02)
    shapes = torch.histc((tall / wide).log(), bins=4, min=-math.log(10 / 3), max=math.log(10 / 3)) / 20_000
    torch.testing.assert_close(shapes, torch.full((4,), 0.25).double(), rtol=0, atol=0.02)
    for start, room in ((top, 100 - tall), (left, 100 - wide)):
        assert (start / room).mean() == pytest.approx(0.5, abs=0.01)
        assert (start == 0).any()
        assert (start == room).any()


def test_a_share_of_images_is_erased_and_the_others_stay_whole() -> None:
    boxes = draw_boxes(Erasing(0.3), 20_000, (28, 28), stream(0))
    erased = boxes.any(1)
    assert erased.double().mean() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(boxes[erased], draw_boxes(Erasing(1), 20_000, (28, 28), stream(0))[erased])


def test_erased_pixels_are_the_mean_and_all_others_stay() -> None:
    batch = torch.arange(1.0, 25).view(2, 1, 3, 4)
    found = erase(batch.clone(), torch.tensor([[1, 3, 0, 2], [0, 0, 0, 0]]))
    assert found[0, 0].tolist() == [[1, 2, 3, 4], [0, 0, 7, 8], [0, 0, 11, 12]]
    assert torch.equal(found[1], batch[1])


def test_both_engines_erase_the_same_pixels(small_mnist: Path) -> None:
    mnist = data.load(small_mnist)
    grey, labels = torch.from_numpy(mnist.train_images[:64]), torch.zeros(64)
    draws = Draws(
        draw_maps(Affine(rotate=15, shift=2, scale=0.1, shear=10), 64, stream(0)), draw_boxes(Erasing(), 64, (28, 28), stream(1))
    )
    found, expected = (
        Images(engine, grey, labels, grey, labels, *mnist.normalisation()).batch(grey, torch.arange(64), draws)
        for engine in (native, plain)
    )
    assert torch.equal(found == 0, expected == 0)
    assert (found == 0).any()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_box_is_erased_in_every_channel() -> None:
    found = erase(torch.ones(1, 3, 2, 2), torch.tensor([[0, 1, 1, 2]]))
    assert found[0].tolist() == [[[1, 0], [1, 1]]] * 3


# Normalising


def test_each_channel_has_a_mean_and_a_deviation_of_its_own() -> None:
    images = torch.tensor([[[[51]], [[102]]]], dtype=torch.uint8)
    torch.testing.assert_close(normalise(images, [0.1, 0.2], [0.5, 0.1]), torch.tensor([[[[0.2]], [[2.0]]]]))


def test_the_training_images_have_mean_0_and_deviation_1(small_mnist: Path) -> None:
    mnist = data.load(small_mnist)
    batch = normalise(torch.from_numpy(mnist.train_images), *mnist.normalisation())
    assert batch.shape == (2000, 1, 28, 28)
    assert batch.dtype == torch.float32
    assert batch.double().mean().item() == pytest.approx(0, abs=1e-5)
    assert batch.double().std().item() == pytest.approx(1, abs=1e-5)


def test_grey_levels_become_fractions_before_the_mean_is_removed() -> None:
    images = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)
    torch.testing.assert_close(normalise(images, [0.2], [0.5]), torch.tensor([[[[-0.4, 0], [0.4, 1.6]]]]))
