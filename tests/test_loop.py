"""The training loop, on a few images."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from training import Watched, loop_images, state_of

from stepladder import Affine, Conv, Erasing, GlobalAvgPool, Network, OneCycle, Recipe, StepLR, state
from stepladder.augment import draw_boxes, draw_maps, erase, normalise, resample
from stepladder.engine import plain
from stepladder.records import Epoch
from stepladder.streams import stream
from stepladder.train import Diverged, Images, Streams, fit, infer

LINEAR = Network([Conv(10, kernel=5, stride=4, norm=None, activation=None), GlobalAvgPool()])


@pytest.fixture(scope="module")
def images(small_mnist: Path) -> Images:
    return loop_images(small_mnist)


# What a batch holds


def batches(images: Images, seed: int = 0, epochs: int = 2, done: int = 0, dropout: float = 0.0, **recipe: object) -> list[Tensor]:
    """The training batches that a linear model sees."""
    generator, watched = torch.Generator(), Watched()
    model = nn.Sequential(watched, nn.Flatten(), plain.Dropout(dropout, generator), nn.Linear(784, 10))
    values = replace(Recipe(epochs=epochs, batch_size=100), **recipe)  # type: ignore[arg-type]
    assert len(list(fit(state.begin(model, values), values, images, Streams(seed, generator), done))) == epochs - done
    return watched.batches


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own(images: Images) -> None:
    found = batches(images)
    assert [len(batch) for batch in found] == [100, 100, 50] * 2
    whole = normalise(images.train, images.mean, images.std).flatten(1)
    orders = []
    for epoch in (found[:3], found[3:]):
        shown = torch.cat(epoch).flatten(1)
        order = [int((whole == image).all(1).nonzero()[0]) for image in shown]
        assert sorted(order) == list(range(250))
        orders.append(order)
    assert orders[0] != orders[1]
    assert list(range(250)) not in orders


def test_dropout_does_not_change_the_order_of_images(images: Images) -> None:
    assert same(batches(images, dropout=0.5), batches(images, dropout=0.0))


def test_dropout_does_not_change_the_augmentation(images: Images) -> None:
    rotation = Affine(rotate=15)
    assert same(batches(images, dropout=0.5, augmentation=rotation), batches(images, augmentation=rotation))


def test_augmentation_does_not_change_the_order_of_images(images: Images) -> None:
    # A shift of a thousandth of a pixel hardly changes an image, but draws as much as any other.
    plain_batches, shifted = batches(images), batches(images, augmentation=Affine(shift=0.001))
    assert not same(plain_batches, shifted)
    torch.testing.assert_close(shifted, plain_batches, rtol=0, atol=0.02)


def test_order_and_augmentation_come_from_their_named_streams(images: Images) -> None:
    # Other names would give every recorded run other bits under the same fingerprint.
    rotation = Affine(rotate=15)
    found = batches(images, seed=5, augmentation=rotation)
    for epoch, shown in enumerate((found[:3], found[3:])):
        order = torch.randperm(250, generator=stream(5, "order", epoch))
        maps = draw_maps(rotation, 250, stream(5, "augmentation", epoch))
        expected = normalise(resample(images.train, maps), images.mean, images.std)[order]
        torch.testing.assert_close(torch.cat(shown), expected, rtol=0, atol=1e-5)


def test_every_epoch_draws_its_augmentation_anew(images: Images) -> None:
    one = images._replace(train=images.train[:1].repeat(250, 1, 1, 1))
    found = batches(one, augmentation=Affine(rotate=30))
    assert len(torch.cat(found).flatten(1).unique(dim=0)) > 490  # nearly all of 500 images differ


def test_the_order_is_the_seeds(images: Images) -> None:
    assert same(batches(images, seed=3), batches(images, seed=3))
    assert not same(batches(images, seed=3), batches(images, seed=4))


def test_an_epoch_does_not_depend_on_the_ones_before_it(images: Images) -> None:
    recipe = {"dropout": 0.5, "augmentation": Affine(rotate=15)}
    assert same(batches(images, done=1, **recipe), batches(images, **recipe)[3:])  # type: ignore[arg-type]


def test_another_batch_size_keeps_the_order(images: Images) -> None:
    assert torch.equal(torch.cat(batches(images, batch_size=30)), torch.cat(batches(images)))


def test_erasing_changes_neither_order_nor_augmentation(images: Images) -> None:
    rotation = Affine(rotate=15)
    plain_batches = torch.cat(batches(images, augmentation=rotation))
    erased = torch.cat(batches(images, augmentation=rotation, erasing=Erasing(1)))
    assert not torch.equal(erased, plain_batches)
    assert torch.equal(torch.where(erased == 0, 0, plain_batches), erased)


def test_erased_boxes_come_from_their_named_stream(images: Images) -> None:
    found = batches(images, seed=5, erasing=Erasing(0.7))
    for epoch, shown in enumerate((found[:3], found[3:])):
        order = torch.randperm(250, generator=stream(5, "order", epoch))
        boxes = draw_boxes(Erasing(0.7), 250, (28, 28), stream(5, "erasing", epoch))
        expected = erase(normalise(images.train, images.mean, images.std), boxes)[order]
        assert torch.equal(torch.cat(shown), expected)


# Rates, losses and figures


def run(images: Images, recipe: Recipe, network: Network = LINEAR) -> list[Epoch]:
    return list(fit(state_of(network, recipe), recipe, images, Streams(0, torch.Generator())))


def trained(images: Images, recipe: Recipe) -> tuple[list[Epoch], list[float]]:
    """The epochs, and the rate of every batch."""
    rates, step = [], state.step

    def seen(optimizer: torch.optim.Optimizer) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        step(optimizer)

    with patch.object(state, "step", seen):
        return run(images, recipe), rates


def test_every_batch_is_trained_at_its_own_rate(images: Images) -> None:
    recipe = Recipe(epochs=2, batch_size=100, schedule=OneCycle(0.1, warmup=0.4))
    epochs, rates = trained(images, recipe)
    assert rates == [recipe.rate(batch, 3) for batch in range(6)]
    assert len(set(rates)) == 6
    assert [epoch.learning_rate for epoch in epochs] == [rates[2], rates[5]]  # of the last batch


def test_a_step_schedule_keeps_its_rate_within_an_epoch(images: Images) -> None:
    recipe = Recipe(epochs=4, batch_size=100, learning_rate=0.02, schedule=StepLR(2, 0.5))
    epochs, rates = trained(images, recipe)
    assert rates == [0.02] * 6 + [0.01] * 6
    assert [epoch.learning_rate for epoch in epochs] == [0.02, 0.02, 0.01, 0.01]


def test_label_smoothing_is_torchs_and_of_the_training_loss_alone(images: Images) -> None:
    still = Recipe(epochs=1, batch_size=250, learning_rate=0.0)  # so that the model stays as it is
    (plain_epoch,) = run(images, still)
    (smooth,) = run(images, replace(still, label_smoothing=0.1))
    logits = infer(state_of(LINEAR, still).model, images.train, images)
    expected = nn.functional.cross_entropy(logits, images.train_labels, label_smoothing=0.1).item()
    assert smooth.train_loss == pytest.approx(expected, rel=1e-5)
    assert smooth.train_loss != pytest.approx(plain_epoch.train_loss, rel=1e-3)
    assert smooth.test_loss == plain_epoch.test_loss


def test_figures_are_means_over_images_also_with_a_smaller_last_batch(images: Images) -> None:
    recipe = Recipe(epochs=1, batch_size=100, learning_rate=0.0)  # so that the model stays as it is
    begun = state_of(LINEAR, recipe)
    (epoch,) = fit(begun, recipe, images, Streams(0, torch.Generator()))
    for grey, labels, loss, accuracy in (
        (images.train, images.train_labels, epoch.train_loss, epoch.train_accuracy),
        (images.test, images.test_labels, epoch.test_loss, epoch.test_accuracy),
    ):
        logits = infer(begun.model, grey, images, batch_size=7)
        assert loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
        assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=1e-12)
    assert epoch.test_correct == round(epoch.test_accuracy * 60)


def test_measuring_changes_nothing(images: Images) -> None:
    model = state_of(Network([Conv(10), GlobalAvgPool()]), Recipe()).model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = infer(model, images.test, images)
    assert torch.equal(infer(model, images.test, images), first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_loss_that_is_not_finite_ends_the_run_with_its_epoch(images: Images) -> None:
    recipe = Recipe(epochs=3)
    begun = state_of(LINEAR, recipe)

    def spoiled() -> Iterator[int]:
        for epoch in fit(begun, recipe, images, Streams(0, torch.Generator())):
            yield epoch.epoch
            with torch.no_grad():
                next(begun.model.parameters()).fill_(torch.inf)

    epochs = spoiled()
    assert next(epochs) == 1
    with pytest.raises(Diverged, match=r"^the loss is not finite in epoch 2$"):
        next(epochs)
