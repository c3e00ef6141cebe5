"""A step's network as the page shows it: drawn, and with an image going through it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chromium import PHONE, Open
from recorded import record_run
from safetensors.torch import save
from torch import nn

from stepladder import (
    Budget,
    Conv,
    Flatten,
    GlobalAvgPool,
    Ladder,
    Linear,
    MaxPool,
    Network,
    Recipe,
    Residual,
    Step,
    anatomy,
    evidence,
    networks,
    report,
)
from stepladder.engine import plain
from stepladder.inference.program import run
from stepladder.job import Setup
from stepladder.page import embedded
from stepladder.page.drawing import MOST, Drawing, drawing, fields
from stepladder.page.trained import examples, trained

COLOUR = Network([Conv(12, padding=1), Conv(12, padding=1), Residual(1), MaxPool(2), Flatten(), Linear(10)], input=(3, 20, 16))
MODULE = plain.build(COLOUR, 0.0, torch.Generator()).eval()


def make_step(network: Any, dropout: float = 0.0) -> tuple[Step, dict[str, Any]]:
    step = Step("Step", network, Recipe(epochs=2, dropout=dropout))
    return step, anatomy.to_data(networks.rows(network))


def typed(text: str) -> str:
    """With an x for the sign of multiplication."""
    return text.replace("\N{MULTIPLICATION SIGN}", "x")


def lines(found: Drawing | None) -> list[list[str]]:
    assert found
    return [[typed(text) for _, text in box.lines] for box in found.boxes]


class Rows(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.LSTM(28, 6, batch_first=True), nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read, _ = self.rows(x[:, 0])
        scores: torch.Tensor = self.head(read[:, -1])
        return scores


def test_a_layer_is_drawn_with_what_follows_in_it_and_its_parameters_in_parts() -> None:
    found = drawing(*make_step(Network([Conv(14), Conv(10, activation=None), GlobalAvgPool()]), dropout=0.05))
    image, first, second, last = lines(found)
    assert image == ["image", "1 x 28 x 28"]
    assert first == ["conv 3 x 3", "14 x 26 x 26", "batch norm (28)", "ReLU", "dropout 5 %", "126 + 28", "parameters"]
    assert second == ["conv 3 x 3", "10 x 24 x 24", "batch norm (20)", "1,260 + 20", "parameters"]
    assert last == ["global average", "pool", "10"]
    assert found
    assert "1 conv 3 x 3, 14 x 26 x 26, batch norm (28), ReLU, dropout 5 %, 126 + 28 parameters; 2 conv" in typed(found.text)


def test_boxes_are_to_scale_within_their_places_and_the_whole() -> None:
    found = drawing(*make_step(COLOUR))
    assert found
    image, first, _, _, pooled, *_ = found.boxes
    assert image.front[2] / image.front[3] == pytest.approx(16 / 20, abs=0.01)
    assert pooled.front[3] / first.front[3] == pytest.approx(1 / 2, abs=0.01)
    assert first.depth > image.depth
    for box in found.boxes:
        x, y, width, height = box.front
        assert box.x <= x <= x + width + box.depth <= box.x + 98
        assert box.y <= y - box.depth
        assert y + height < min(down for down, _ in box.lines)
        assert max(down for down, _ in box.lines) < found.height
    assert lines(found)[3][-3:] == ["with what entered", "2", "ReLU"]


def test_a_network_of_many_layers_is_left_to_the_table() -> None:
    layers = [Conv(2, 1)] * MOST
    assert drawing(*make_step(Network([*layers, GlobalAvgPool(), Linear(10)]))) is None
    assert drawing(*make_step(Network([*layers[2:], GlobalAvgPool(), Linear(10)])))


def test_a_receptive_field_lies_in_the_middle_of_the_image() -> None:
    step, data = make_step(COLOUR)
    assert [typed(field.size) for field in fields(step, data)][:2] == ["3 x 3 pixels", "5 x 5 pixels"]
    assert fields(step, data)[0].place == pytest.approx((50 - 150 / 16, 50 - 150 / 20, 300 / 16, 300 / 20), abs=0.01)
    assert fields(step, data)[-1].size.endswith("more than the image has")


def test_what_is_no_layer_is_drawn_without_a_box() -> None:
    module = networks.read(Rows)
    step, data = make_step(module)
    found = drawing(step, data)
    assert lines(found)[1][:2] == ["lstm", "28 x 6"]
    assert found
    assert [bool(box.front[2]) for box in found.boxes] == [True, False, True]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Images in colour."""
    folder = tmp_path_factory.mktemp("colour")
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (300, 20, 16, 3), np.uint8), (np.arange(300) % 10).astype(np.uint8)
    np.savez(folder / "set.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    return Setup(folder / "runs", folder / "set.npz")


@pytest.fixture(scope="module")
def ladder(setup: Setup) -> Ladder:
    """A step with weights, one whose weights are none, and a module that is none of layers."""
    first = Step("Layers", COLOUR, Recipe(epochs=2))
    second = first.then("Wider", network=replace(COLOUR, layers=[Conv(14, padding=1), *COLOUR.layers[3:]]))
    made = Ladder("colour", Budget(parameters=50_000, epochs=2, accuracy=0.9, hold=1), [first, second])
    record_run(setup, first, 0, [50, 80], weights=save(MODULE.state_dict()), ladder="colour")
    record_run(setup, second, 0, [50, 70], weights=b"none", ladder="colour")
    return made


def test_a_trained_network_answers_as_its_weights_do(setup: Setup, ladder: Ladder) -> None:
    found = trained(ladder, evidence.load(ladder.steps, setup))
    data, images = found["layers"].data, setup.dataset(10).test_images
    assert data
    scores = run(embedded.read(json.loads(json.dumps(data))), images)
    mean, std = (torch.tensor(each)[:, None, None] for each in setup.dataset().normalisation())
    with torch.no_grad():
        expected = MODULE((torch.from_numpy(images).float() / 255 - mean) / std).numpy()
    assert np.abs(scores - expected).max() < 0.05 * np.abs(expected).max()
    assert found["wider"].data is None
    assert found["wider"].reason.startswith("The trained network cannot be shown: its weights do not fit its network")


def test_a_module_that_is_none_of_layers_says_why_no_image_goes_through_it(setup: Setup, ladder: Ladder) -> None:
    rows = replace(ladder.steps[0], network=networks.read(Rows))
    found = trained(replace(ladder, steps=[rows]), evidence.load(ladder.steps, setup))["layers"]
    assert found.data is None
    assert found.reason.startswith("The trained network cannot be shown: module Rows is none of layers that a page computes: ")


def test_an_example_is_the_first_of_its_class() -> None:
    assert examples(np.array([1, 0, 1, 2], np.uint8)) == [1, 0, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, setup: Setup, ladder: Ladder) -> Path:
    made, dataset, arms = tmp_path_factory.mktemp("report"), setup.dataset(10), evidence.load(ladder.steps, setup)
    found = report.build(ladder, setup, arms, evidence.gather(ladder, arms, dataset.test_labels), dataset)
    report.write(found, ladder, setup, made, arms)
    assert report.is_written(found, ladder, setup, made, arms)
    assert not report.is_written(found, ladder, setup, made)  # other weights, or none
    return made


def test_the_page_shows_what_the_network_makes_of_a_chosen_image(open_page: Open, setup: Setup, ladder: Ladder) -> None:
    page, dataset = open_page(), setup.dataset(10)
    data = trained(ladder, evidence.load(ladder.steps, setup))["layers"].data
    assert data
    through = page.locator("#step-layers .through")
    through.scroll_into_view_if_needed()
    choices = through.get_by_role("button")
    assert choices.count() >= 10
    for index in (4, 7):
        choices.nth(index).click()
        assert choices.nth(index).get_attribute("aria-pressed") == "true"
        score = run(embedded.read(data), dataset.test_images[examples(dataset.test_labels)[index]][None])[0]
        share = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
        said = f"Here read as {dataset.classes[int(score.argmax())]}, {100 * share.max():.1f}\N{NO-BREAK SPACE}%."
        through.get_by_text(said).wait_for()
    maps = [typed(name) for name in through.locator("canvas").evaluate_all("all => all.map((one) => one.ariaLabel)")]
    assert maps[0] == "filters of the first layer: 12 x 3 x 3"
    assert "conv 3 x 3, ReLU: 12 x 20 x 16" in maps
    assert maps[-1] == "linear: 10"
    assert page.get_by_text("The trained network cannot be shown: its weights").count() == 1


def test_a_chosen_layer_moves_the_square_on_the_image(open_page: Open) -> None:
    page = open_page(PHONE)
    network = page.locator("#step-layers .network")
    network.locator("summary").click()
    network.get_by_role("combobox").select_option("1 conv")
    assert network.locator("output").inner_text() == "3 \N{MULTIPLICATION SIGN} 3 pixels"
    image, field = (network.locator(f".seen .{name}").bounding_box() for name in ("pic", "field"))
    assert image
    assert field
    assert field["width"] / image["width"] == pytest.approx(3 / 16, abs=0.01)
    assert field["x"] + field["width"] / 2 == pytest.approx(image["x"] + image["width"] / 2, abs=1)
