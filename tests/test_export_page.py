"""The page that reads what is drawn on it, in a browser."""

import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from chromium import BEYOND, CUT, FAINT, chromium
from conftest import fuzzed, networks, write_idx_folder
from hypothesis import given
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page

from stepladder import (
    ELU,
    GELU,
    AvgPool,
    BatchNorm,
    BlurPool,
    Budget,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    Lab,
    Ladder,
    LayerNorm,
    LeakyReLU,
    Linear,
    LinearDecay,
    MaxPool,
    Multiply,
    Network,
    PReLU,
    Recipe,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Step,
    Tanh,
    UserError,
    data,
)
from stepladder.engine import plain
from stepladder.export.html import Placing, page, placing, programs
from stepladder.export.options import Reader
from stepladder.inference.program import Program, program, run
from stepladder.spec import Layer

MNIST = data.load()
DESKTOP, PHONE = (1280, 900), (375, 812)

READ = """([text, count, step]) => {
  const levels = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const each = levels.length / count;
  const begun = performance.now();
  const scores = Array.from({ length: count }, (_, n) => values(networks[step], levels.subarray(n * each, (n + 1) * each)).at(-1));
  return [(performance.now() - begun) / count, scores.map((one) => Array.from(one))];
}"""
"""Milliseconds an image, and the class scores of images by the page's own functions."""

Strokes = Sequence[Sequence[tuple[float, float]]]
DIGITS: dict[str, Strokes] = {
    "1": [[(0.55, 0.2), (0.45, 0.8)]],
    "7": [[(0.25, 0.2), (0.72, 0.2), (0.45, 0.85)]],
    "0": [[(0.5 + 0.2 * float(np.cos(turn)), 0.5 + 0.32 * float(np.sin(turn))) for turn in np.linspace(-1.6, 4.7, 14)]],
}
"""As parts of the canvas, along and down."""


class Recorded(NamedTuple):
    reader: Reader
    logits: Any


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory, in_process: None) -> tuple[Lab, Ladder]:
    """Two steps trained for an epoch on all of MNIST, and judged by 1,000 test images."""
    parts = (MNIST.train_images[:, 0], MNIST.train_labels, MNIST.test_images[:1000, 0], MNIST.test_labels[:1000])
    folder = write_idx_folder(tmp_path_factory.mktemp("mnist"), parts)
    small = Network([Conv(8, stride=2, padding=1), MaxPool(2), Flatten(), Linear(10)])
    larger = Network([Conv(8, stride=2, padding=1), MaxPool(2), Conv(16, padding=1), Flatten(), Linear(10)])
    first = Step("Small", small, Recipe(epochs=1, batch_size=64, schedule=LinearDecay(), learning_rate=0.05))
    ladder = Ladder(
        "page", Budget(parameters=20_000, epochs=1, accuracy=0.9, hold=1), [first, first.then("Larger", network=larger)]
    )
    lab = Lab(tmp_path_factory.mktemp("page") / "runs", data=folder)
    lab.run(ladder, progress=False)
    return lab, ladder


@pytest.fixture(scope="module")
def recorded(climbed: tuple[Lab, Ladder]) -> list[Recorded]:
    lab, ladder = climbed
    runs = [lab.result(ladder)[step.id].run() for step in ladder.steps]
    facts = {"Seed": "0"}
    return [
        Recorded(Reader(step.id, step.title, run.program(), facts), run.logits())
        for step, run in zip(ladder.steps, runs, strict=True)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def text(recorded: list[Recorded]) -> str:
    return page("Draw a digit", [each.reader for each in recorded], placing(MNIST.test_images))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, text: str, tmp_path: Path) -> Iterator[Open]:
    """Opens a page from disk; in the end, nothing but that file may have been asked for, and no message written."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []

    def opened(content: str = text, size: tuple[int, int] = DESKTOP, **options: Any) -> Page:
        file = tmp_path / "page.html"
        file.write_text(content, encoding="utf-8")
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: heard.append(message.text))
        shown.on("pageerror", lambda error: heard.append(str(error)))
        shown.on("request", lambda request: heard.append(request.url) if request.url != file.as_uri() else None)
        shown.goto(file.as_uri())
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


def draw(shown: Page, strokes: Strokes) -> None:
    box = shown.locator("#canvas").bounding_box()
    assert box
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        shown.mouse.move(*points[0])
        shown.mouse.down()
        for point in points[1:]:
            shown.mouse.move(*point, steps=2)
        shown.mouse.up()


def verdict(shown: Page) -> str:
    """After the next frame, in which the page answers."""
    shown.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return shown.locator("#verdict").inner_text()


def read(shown: Page, images: Any, step: int = 0) -> tuple[float, Any]:
    took, scores = shown.evaluate(READ, [base64.b64encode(images.tobytes()).decode(), len(images), step])
    return took, np.array(scores)


def test_it_answers_test_images_as_the_record_does(open_page: Open, recorded: list[Recorded], text: str) -> None:
    shown = open_page()
    for step, each in enumerate(recorded):
        took, scores = read(shown, MNIST.test_images[:1000], step)
        print(f"{each.reader.name}: {took:.2f} ms an image, page of {len(text):,} bytes")
        np.testing.assert_allclose(scores, each.logits, atol=1e-4)
        assert (scores.argmax(1) == each.logits.argmax(1)).all()
    assert np.mean(recorded[1].logits.argmax(1) == MNIST.test_labels[:1000]) > 0.96
    assert len(text) < 300_000


def test_what_it_holds_is_the_record_on_every_test_image(recorded: list[Recorded], text: str) -> None:
    for held, each in zip(programs(text), recorded, strict=True):
        np.testing.assert_allclose(run(held, MNIST.test_images[:1000]), each.logits, atol=1e-4)


def test_eight_bits_are_a_third_of_the_weights_and_answer_alike(recorded: list[Recorded], text: str, open_page: Open) -> None:
    small = page("Draw", [each.reader for each in recorded], None, int8=True)
    raw = sum(
        operation.weight.size for each in recorded for operation in each.reader.program.operations if operation.weight is not None
    )
    assert len(text) - len(small) > 3.5 * raw  # base64 of three bytes a weight
    (_, held), shown = programs(small), open_page(small)
    scores = run(held, MNIST.test_images[:1000])
    assert np.mean(scores.argmax(1) == recorded[1].logits.argmax(1)) > 0.99
    assert 1e-4 < np.abs(scores - recorded[1].logits).max() < 1
    np.testing.assert_allclose(read(shown, MNIST.test_images[:100], 1)[1], scores[:100], atol=1e-4)


@pytest.mark.parametrize("digit", DIGITS)
@pytest.mark.parametrize(("scale", "right", "down"), [(1.0, 0.0, 0.0), (0.45, 0.5, 0.1)], ids=["large", "small in a corner"])
def test_a_digit_drawn_is_read(open_page: Open, digit: str, scale: float, right: float, down: float) -> None:
    shown = open_page()
    assert verdict(shown) == "Nothing is drawn yet."
    draw(shown, [[(right + scale * x, down + scale * y) for x, y in stroke] for stroke in DIGITS[digit]])
    shown.get_by_role("radio").nth(1).check()
    assert verdict(shown).endswith((f"Read as {digit}", f"larger reads {digit}"))
    assert shown.locator("#scores .read b").inner_text() == digit
    assert re.search(r"\d ms a network", shown.locator("#cost").inner_text())
    shown.get_by_role("button", name="Clear").click()
    assert verdict(shown) == "Nothing is drawn yet."


def test_touch_draws_and_does_not_scroll(open_page: Open) -> None:
    shown = open_page(size=PHONE, has_touch=True, is_mobile=True)
    box = shown.locator("#canvas").bounding_box()
    assert box
    session = shown.context.new_cdp_session(shown)
    for kind, part in [("touchStart", 0.2), *[("touchMove", 0.2 + step / 20) for step in range(1, 13)], ("touchEnd", 0.8)]:
        points = [] if kind == "touchEnd" else [{"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] * part}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert "1" in verdict(shown)
    assert shown.evaluate("scrollY") == 0


def test_the_keyboard_draws_clears_and_chooses(open_page: Open) -> None:
    shown = open_page()
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.id") == "canvas"
    shown.keyboard.press("ArrowDown")
    assert verdict(shown) == "Nothing is drawn yet."
    shown.keyboard.press(" ")
    for _ in range(20):
        shown.keyboard.press("ArrowDown")
    assert "1" in verdict(shown)
    shown.keyboard.press("Delete")
    assert verdict(shown) == "Nothing is drawn yet."
    names = []
    for _ in range(4):
        shown.keyboard.press("Tab")
        names.append(shown.evaluate("document.activeElement.id || document.activeElement.name"))
    assert names[:3] == ["clear", "file", "network"]


def test_what_was_done_to_the_drawing_is_shown(open_page: Open) -> None:
    shown = open_page()
    draw(shown, DIGITS["7"])
    verdict(shown)
    said = shown.locator("#made figcaption").all_inner_texts()
    assert said[0] == "the box of the ink"
    assert re.fullmatch(r"scaled to 20 . 1\d", said[1])
    assert said[2] == "centred by its mass in 28 \N{MULTIPLICATION SIGN} 28"
    levels = np.array(shown.evaluate("Array.from(given().levels)"), np.uint8).reshape(1, 1, 28, 28)
    found = placing(levels)
    assert found
    assert found.box == 20
    assert np.abs(np.array(found.centre) - 14.5).max() < 0.6


def test_steps_that_disagree_say_so(open_page: Open, recorded: list[Recorded]) -> None:
    reader = recorded[0].reader
    *others, last = reader.program.operations
    assert last.bias is not None
    biased = reader.program._replace(operations=(*others, last._replace(bias=last.bias + 1e3 * np.eye(10, dtype=np.float32)[4])))
    shown = open_page(page("Draw", [reader, reader._replace(name="biased", program=biased)], placing(MNIST.test_images)))
    draw(shown, DIGITS["7"])
    assert verdict(shown) == "They disagree: small reads 7, biased reads 4"
    shown.get_by_role("radio").nth(1).check()
    verdict(shown)
    assert shown.locator("#scores .read b").inner_text() == "4"


def test_a_photograph_of_writing_is_read_as_ink(open_page: Open, tmp_path: Path) -> None:
    shown, image = open_page(), Image.new("RGB", (300, 400), (225, 220, 210))
    ImageDraw.Draw(image).line([(90, 100), (200, 100), (150, 260)], (40, 45, 90), 16)
    image.save(tmp_path / "seven.png")
    shown.locator("#file").set_input_files(tmp_path / "seven.png")
    shown.locator("#verdict").filter(has_text="Read as").wait_for()
    shown.get_by_role("radio").nth(1).check()
    assert "7" in verdict(shown)
    shown.locator("#file").set_input_files(FilePayload(name="a.png", mimeType="image/png", buffer=b"none"))
    shown.get_by_text("a.png is no picture that this browser can read.").wait_for()


def test_pictures_in_colour_are_stretched_and_not_drawn(open_page: Open, tmp_path: Path) -> None:
    network = Network([Conv(4), GlobalAvgPool(), Linear(3)], (3, 12, 16), 3)
    made = _program(network)
    shown = open_page(page("Choose", [Reader("C", "Colour", made, {})], None))
    assert verdict(shown) == "No picture is chosen yet."
    Image.new("RGBA", (64, 32), (200, 100, 50, 255)).save(tmp_path / "plain.png")
    shown.locator("#file").set_input_files(tmp_path / "plain.png")
    shown.locator("#verdict").filter(has_text="Read as").wait_for()
    assert verdict(shown).startswith("Read as ")
    levels = np.array(shown.evaluate("Array.from(given().levels)"), np.uint8).reshape(3, 12, 16)
    assert (levels == np.array([200, 100, 50])[:, None, None]).all()
    draw(shown, DIGITS["7"])
    assert (levels.ravel() == shown.evaluate("Array.from(given().levels)")).all()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(open_page: Open, size: tuple[int, int], scheme: str) -> None:
    shown = open_page(size=size, color_scheme=scheme)
    draw(shown, DIGITS["0"])
    verdict(shown)
    assert [shown.evaluate(each) for each in (BEYOND, CUT, FAINT)] == [[], [], []]
    assert shown.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_only_its_own_script_may_run_and_names_are_text(recorded: list[Recorded], open_page: Open) -> None:
    name = "</script><script>alert(1)</script>"
    reader = recorded[0].reader._replace(name=name, facts={name: name})
    content = page(name, [reader, reader], None)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', content)
    script = re.findall(r"<script>(.*?)</script>", content, flags=re.DOTALL)[-1]
    assert policy.startswith("default-src 'none';")
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    shown = open_page(content)
    assert shown.locator("h1").inner_text() == name
    assert shown.locator("#switch b").all_inner_texts() == [name, name]
    assert shown.locator("#card dd").inner_text() == name


def test_steps_that_take_other_images_are_refused(recorded: list[Recorded]) -> None:
    other = Reader("C", "Colour", _program(Network([Conv(4), GlobalAvgPool(), Linear(10)], (3, 28, 28))), {})
    with pytest.raises(UserError, match=re.escape("differ in input: small has (1, 28, 28), C has (3, 28, 28)")):
        page("Draw", [recorded[0].reader, other], None)
    with pytest.raises(UserError, match="a page has no network"):
        page("Draw", [], None)


def _program(network: Network) -> Program:
    """Of random weights and statistics, none of which is the one that it has untrained."""
    generator = torch.Generator().manual_seed(3)
    module = plain.build(network, 0.0, generator)
    state = {
        name: torch.empty(tensor.shape).uniform_(-0.5, 0.8, generator=generator) for name, tensor in module.state_dict().items()
    }
    state |= {name: tensor.abs() + 0.1 for name, tensor in state.items() if name.endswith("running_var")}
    mean, std = [0.3, 0.4, 0.2, 0.5][: network.input[0]], [0.2, 0.25, 0.3, 0.35][: network.input[0]]
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    return program(network, arrays, [f"class {number}" for number in range(network.classes)], mean, std)


def _answers_as_numpy(shown: Page, network: Network) -> None:
    made = _program(network)
    held = page("Draw", [Reader("N", "Network", made, {})], None)
    data = held.partition('id="data">')[2].partition("</script>")[0]
    images = np.random.default_rng(0).integers(0, 256, (3, *network.input), np.uint8)
    found = shown.evaluate(
        """([data, images]) => {
          const { networks: [network] } = JSON.parse(data);
          for (const each of network.operations) [each.weight, each.bias] = [numbers(each.weight), numbers(each.bias)];
          return images.map((levels) => Array.from(values(network, Uint8Array.from(levels)).at(-1)));
        }""",
        [data, [image.ravel().tolist() for image in images]],
    )
    expected = run(made, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


HEAD: list[Layer] = [GlobalAvgPool(), Linear(3)]
BLOCK: list[Layer] = [Conv(8, padding=1), Conv(8, padding=1, activation=None)]
KINDS: dict[str, list[Layer]] = {
    "norms": [
        *(Conv(8, norm=None), BatchNorm(), GroupNorm(4), LayerNorm(), Flatten(), LayerNorm(), Linear(8), GroupNorm(2)),
        *(BatchNorm(), PReLU(), Linear(3)),
    ],
    "activations": [
        *(Conv(8, activation=None), LeakyReLU(0.2), Conv(8, activation=None), PReLU(), Conv(8, activation=None)),
        *(PReLU(per_channel=True), ReLU6(), Conv(8, activation=None), ELU(0.7), SiLU(), HardSwish(), GELU(), Tanh(), Sigmoid()),
        *HEAD,
    ],
    "joins": [
        *(Conv(8), *BLOCK, Residual(2), *BLOCK, Concat(2), Conv(8, groups=2), GlobalAvgPool(), Linear(8), Excite(2)),
        *(*BLOCK, Multiply(2), GlobalAvgPool(), Linear(8), Multiply(2), *HEAD),
    ],
    "windows": [
        *(Conv(6, 5, stride=2, padding=2, groups=3, dilation=2), MaxPool(3, 1, 1), AvgPool(3, 2, 1), BlurPool(3, 1)),
        *(MaxPool(2), *HEAD),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_computed_as_in_numpy(open_page: Open, kind: str) -> None:
    _answers_as_numpy(open_page(), Network(KINDS[kind], (3, 16, 20), 3))


def test_drawn_networks_are_computed_as_in_numpy(open_page: Open) -> None:
    shown = open_page()

    @fuzzed(40)
    @given(networks())
    def check(network: Network) -> None:
        _answers_as_numpy(shown, network)

    check()


@pytest.mark.parametrize("node", [True, False])
def test_an_export_has_its_steps_on_one_page_and_says_what_ran_it(
    climbed: tuple[Lab, Ladder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Open, node: bool
) -> None:
    lab, ladder = climbed
    if node and not shutil.which("node"):
        pytest.skip("no node on the PATH")
    if not node:
        monkeypatch.setattr("shutil.which", lambda name: None)
    export = lab.export("small", "html", tmp_path / "to", ladder=ladder, beside=["larger"])
    by = "the page's script in node" if node else "numpy on the page's numbers, as no node was found"
    assert (export.equal, export.images, export.card["answers"]["by"]) == (1_000, 1_000, by)
    (also,) = export.card["beside"]
    assert (also["step"], also["answers"]["equal"], also["answers"]["by"]) == ("larger", 1_000, by)
    shown = open_page((tmp_path / "to" / "page_small.html").read_text("utf-8"))
    assert shown.locator("h1").inner_text() == "small, larger: draw one, and see what it is read as"
    assert "1,000 test images (seed 0)" in shown.locator("#card").inner_text()
    assert "on the same page: step larger" in (tmp_path / "to" / "MODEL_CARD.md").read_text()


def test_only_a_page_has_several_steps(climbed: tuple[Lab, Ladder], tmp_path: Path) -> None:
    lab, ladder = climbed
    with pytest.raises(UserError, match=r"an export to torch has one step, found 2 \(beside, --steps\)"):
        lab.export("small", "torch", tmp_path / "to", ladder=ladder, beside=["larger"])
    assert not list(tmp_path.iterdir())


def test_how_images_lie_is_measured() -> None:
    found = placing(MNIST.test_images)
    assert found
    assert (found.box, found.by) == (20, "mass")
    assert np.abs(np.array(found.centre) - 14.5).max() < 0.05
    boxed = np.zeros((20, 1, 16, 12), np.uint8)
    boxed[:, :, 3:13, 4:8] = np.random.default_rng(0).integers(0, 256, (20, 1, 10, 4)) // np.arange(1, 11)[:, None]
    boxed[:, :, [3, 12], 4] = boxed[:, :, 3, 7] = 255
    assert placing(boxed) == Placing(10, (8.0, 6.0), "box")
    spread = [np.pad(image, ((0, 0), (number, 20 - number), (0, 20))) for number, image in enumerate(boxed)]
    assert placing(np.stack(spread)) == Placing(10, (18.0, 16.0), "box")
    assert placing(np.full((2, 1, 4, 4), 9, np.uint8)) is None
    assert placing(np.zeros((2, 3, 4, 4), np.uint8)) is None
    assert placing(np.zeros((2, 1, 4, 4), np.uint8)) is None
