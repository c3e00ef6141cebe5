"""Layers and networks as values."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepladder
from stepladder import (
    AvgPool,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Multiply,
    Network,
    Residual,
    SpecError,
    ladders,
)
from stepladder.spec import Layer

HEAD: tuple[Layer, ...] = (Conv(10, activation=None), GlobalAvgPool())
SOURCE = Path(stepladder.__file__).parent


class Other(Conv):
    """A kind that no engine has met."""


@pytest.mark.parametrize(
    ("layer", "values", "message"),
    [
        (
            Conv,
            {"channels": 0},
            "groups=1, bias=False, norm='batch', activation='relu', dilation=1): channels is 0, expected a whole",
        ),
        (Conv, {"channels": 4.0}, "channels is 4.0, expected a whole number of at least 1"),
        (Conv, {"channels": True}, "channels is True, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "kernel": 0}, "kernel is 0, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "stride": -1}, "stride is -1, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "groups": 0}, "groups is 0, expected a whole number of at least 1"),
        (Conv, {"channels": 4, "padding": -1}, "padding is -1, expected a whole number of at least 0"),
        (Conv, {"channels": 4, "bias": 1}, "bias is 1, expected one of True, False"),
        (Conv, {"channels": 4, "norm": "layer"}, "norm is 'layer', expected one of 'batch', None"),
        (Conv, {"channels": 4, "activation": "gelu"}, "activation is 'gelu', expected one of 'relu', None"),
        (MaxPool, {"kernel": 0}, "MaxPool(kernel=0, stride=None, padding=0): kernel is 0, expected a whole number of at least 1"),
        (MaxPool, {"stride": 0}, "stride is 0, expected a whole number of at least 1"),
        (MaxPool, {"padding": 2}, "MaxPool(kernel=2, stride=None, padding=2): padding is at most half the kernel (1), got 2"),
        (
            AvgPool,
            {"kernel": 3, "padding": 2},
            "AvgPool(kernel=3, stride=None, padding=2): padding is at most half the kernel (1), got 2",
        ),
        (Conv, {"channels": 4, "dilation": 0}, "dilation is 0, expected a whole number of at least 1"),
        (BlurPool, {"kernel": 2}, "BlurPool(kernel=2, stride=2): kernel is 2, expected a whole number of at least 3"),
        (BlurPool, {"kernel": 4}, "BlurPool(kernel=4, stride=2): kernel is 4, expected an odd number: the filter has a centre"),
        (BlurPool, {"stride": 0}, "stride is 0, expected a whole number of at least 1"),
        (Residual, {"layers": 0}, "Residual(layers=0, activation='relu'): layers is 0, expected a whole number of at least 1"),
        (Residual, {"layers": 1, "activation": "gelu"}, "activation is 'gelu', expected one of 'relu', None"),
        (Branch, {"layers": 0}, "Branch(layers=0): layers is 0, expected a whole number of at least 1"),
        (Concat, {"layers": 0}, "Concat(layers=0): layers is 0, expected a whole number of at least 1"),
        (Multiply, {"layers": 0}, "Multiply(layers=0): layers is 0, expected a whole number of at least 1"),
        (Excite, {"layers": 1}, "Excite(layers=1): layers is 1, expected a whole number of at least 2"),
        (BlurPool, {"kernel": 65}, "BlurPool(kernel=65, stride=2): kernel is 65, expected a whole number of at most 63"),
        (Conv, {"channels": 10**30}, "expected a whole number of at most 1,000,000"),
        (Conv, {"channels": 4, "kernel": 10**7}, "kernel is 10000000, expected a whole number of at most 1,000,000"),
        (Conv, {"channels": 10**5_000}, "<Conv>: channels is <int>, expected a whole number of at most 1,000,000"),
        (Conv, {"channels": 4, "norm": ["batch"]}, "norm is ['batch'], expected one of 'batch', None"),
        (Linear, {"features": 0}, "Linear(features=0, bias=True, activation=None): features is 0, expected a whole number"),
        (Linear, {"features": 10, "activation": "tanh"}, "activation is 'tanh', expected one of 'relu', None"),
    ],
)
def test_a_layer_that_cannot_be_is_refused_by_name_when_made(layer: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        layer(**values)
    assert message in str(refused.value)
    assert str(refused.value).startswith((f"{layer.__name__}(", "<Conv>"))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv(4), MaxPool(27), *HEAD], "layer 2, MaxPool(kernel=27, stride=None, padding=0): its 27 x 27 window is larger than "
         "its input, 26 x 26 padded by 0"),
        ([Conv(4, kernel=31, padding=1), *HEAD], "layer 1, Conv(channels=4, kernel=31, stride=1, padding=1, groups=1, bias=False, "
         "norm='batch', activation='relu', dilation=1): its 31 x 31 window is larger than its input, 28 x 28 padded by 1"),
        ([Conv(4, dilation=14), *HEAD], "its 3 x 3 window whose taps are 14 apart is larger than its input, 28 x 28 padded by 0"),
        ([Conv(4), Linear(10)], "layer 2, Linear(features=10, bias=True, activation=None): its input is 4 x 26 x 26, expected flat "
         "features: put GlobalAvgPool() or Flatten() before it"),
        ([GlobalAvgPool(), Conv(4)], "its input is flat (1 features), expected channels x height x width"),
        ([Flatten(), MaxPool(2)], "layer 2, MaxPool(kernel=2, stride=None, padding=0): its input is flat (784 features)"),
        ([Flatten(), Flatten()], "layer 2, Flatten(): its input is flat (784 features)"),
        ([Flatten(), GlobalAvgPool()], "layer 2, GlobalAvgPool(): its input is flat (784 features)"),
        ([Conv(4), Conv(6, groups=4), *HEAD], "4 groups divide neither or only one of 4 input and 6 output channels"),
        ([Conv(4), Residual(1), *HEAD], "layer 2, Residual(layers=1, activation='relu'): its input is 4 x 26 x 26, expected the "
         "shape of what it is added to, 1 x 28 x 28"),
        ([Conv(4), Residual(2), *HEAD], "it reaches back over 2 layers, expected at most the 1 before it"),
        ([Conv(4), Branch(2), *HEAD], "it reaches back over 2 layers, expected at most the 1 before it"),
        ([Conv(4), Concat(1), *HEAD], "layer 2, Concat(layers=1): its input is 4 x 26 x 26, expected the height and width of what "
         "it is joined to, 1 x 28 x 28"),
        ([Flatten(), Concat(1), *HEAD], "its input is 784, expected the height and width of what it is joined to, 1 x 28 x 28"),
        ([Flatten(), Linear(1), Branch(2), Concat(1), *HEAD], "its input is 1 x 28 x 28, expected flat features, as in what it is "
         "joined to, 1"),
        ([Conv(4), Conv(4), Multiply(1), *HEAD], "layer 3, Multiply(layers=1): its input is 4 x 24 x 24, expected the shape of "
         "what it is multiplied with, 4 x 26 x 26, or one number for each channel of it"),
        ([Conv(4), GlobalAvgPool(), Linear(3), Multiply(2), *HEAD], "its input is 3, expected the shape of what it is multiplied "
         "with, 4 x 26 x 26, or one number"),
        ([Conv(4), GlobalAvgPool(), Linear(3), Excite(2), *HEAD], "layer 4, Excite(layers=2): its input is 3, expected one number "
         "for each of 4 channels of 4 x 26 x 26"),
        ([Conv(4), GlobalAvgPool(), Linear(4), Linear(4), Excite(2)], "what entered the last 2 layers is flat (4 features), "
         "expected channels to scale"),
        ([Conv(4), GlobalAvgPool()], "GlobalAvgPool(): the network ends in 4 numbers, expected one for each of 10 classes"),
        ([Conv(10)], "the network ends in 10 x 26 x 26 numbers, expected one for each of 10 classes"),
        ([], "Network: it has no layers"),
        (None, "Network: layers is None, expected a list of layers"),
        ("Conv", "Network: layers is 'Conv', expected a list of layers"),
        ({Flatten()}, "Network: layers is {Flatten()}, expected a list of layers"),
        (5, "Network: layers is 5, expected a list of layers"),
        ((layer for layer in HEAD), "Network: layers is <generator object"),
        ([Conv(4, kernel=1, padding=10_000), *HEAD], "it makes 4 x 20028 x 20028 numbers of an image, expected at most 67,108,864"),
        ([Flatten(), Linear(1_000_000), Linear(1_000_000), Linear(10)], "Network: it has 1,000,796,000,010 parameters, expected at "
         "most 2,147,483,648"),
        ([Other(10), GlobalAvgPool()], "layer 1 is Other(channels=10, kernel=3, "),
        ([Conv(4), "relu"], "layer 2 is 'relu', expected one of Conv, MaxPool, AvgPool, BlurPool, GlobalAvgPool, Flatten, "
         "Linear, BatchNorm, GroupNorm, LayerNorm, ReLU, LeakyReLU, PReLU, ReLU6, ELU, SiLU, HardSwish, GELU, Tanh, Sigmoid, "
         "Dropout, Dropout2d, Residual, Branch, Concat, Multiply, Excite"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused_with_the_layer_named(layers: list[Layer], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Network(layers)
    assert message in str(refused.value)


@pytest.mark.parametrize("image", [(28, 28), (1, 28, 0), (1, 28.0, 28), (True, 28, 28), None, 28, "1x1", {1, 28}, ("1", 28, 28)])
def test_an_input_that_is_no_image_is_refused(image: tuple[int, int, int]) -> None:
    with pytest.raises(
        SpecError, match=r"Network: input is .*, expected (a list of )?three whole numbers: channels, height, width"
    ):
        Network(HEAD, input=image)


def test_an_input_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(SpecError, match=r"input is \(1000000, 1000000, 1000000\), expected at most 67,108,864 numbers an image"):
        Network(HEAD, input=(1_000_000,) * 3)


def test_a_network_tells_the_norm_that_one_image_is_too_few_for() -> None:
    lone = Conv(10, kernel=28)
    assert Network([lone, GlobalAvgPool()]).point_norm == lone
    for network in ([Conv(10, kernel=28, norm=None), GlobalAvgPool()], [Conv(10, kernel=27), GlobalAvgPool()]):
        assert Network(network).point_norm is None  # type: ignore[arg-type]


def test_a_layer_kind_is_known_in_four_places_and_where_networks_come_in_and_go_out() -> None:
    named: dict[str, set[str]] = {kind.__name__: set() for kind in get_args(Layer)}
    for path in SOURCE.rglob("*.py"):
        if path.parent.name not in ("ladders", "climb"):  # they arrange layers: what they do not name stays where it is
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            names |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.alias | ast.ClassDef)}
            for kind in named.keys() & names:
                inside = path.relative_to(SOURCE)
                named[kind].add((inside.parent if inside.parent.name == "layers" else inside).as_posix())
    places = {"__init__.py", "engine/kernels.py", "engine/plain.py", "spec/layers"}
    reading = {"inference/program.py", "networks/operations.py", "networks/graph.py", "networks/lowering.py", "networks/compare.py"}
    assert {kind: found - reading for kind, found in named.items()} == dict.fromkeys(named, places)


def test_one_class_is_refused() -> None:
    with pytest.raises(SpecError, match="classes is 1, expected a whole number of at least 2"):
        Network([Conv(1), GlobalAvgPool()], classes=1)


def test_shapes_are_those_before_the_first_layer_and_after_each() -> None:
    network = Network([Conv(6, padding=1), MaxPool(3, stride=2), Conv(8, stride=3, kernel=2), Flatten(), Linear(10)])
    assert network.shapes() == [(1, 28, 28), (6, 28, 28), (6, 13, 13), (8, 4, 4), (128,), (10,)]


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.integers(1, 8),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
)
def test_a_window_has_an_output_for_each_place_it_fits_in(size: tuple[int, int], kernel: int, stride: int, padding: int) -> None:
    places = [len(range(0, side + 2 * padding - kernel + 1, stride)) for side in size]
    conv = Conv(2, kernel=kernel, stride=stride, padding=padding)
    if 0 in places:
        with pytest.raises(SpecError, match=f"its {kernel} x {kernel} window is larger than its input"):
            conv.output((3, *size))
    else:
        assert conv.output((3, *size)) == (2, *places)


@pytest.mark.parametrize(("step", "parameters"), [("0", 9902), ("A1", 9060), ("B1", 7826)])
def test_the_networks_of_the_built_in_ladder_have_their_known_sizes(step: str, parameters: int) -> None:
    assert ladders.load("mnist").step(step).network.parameters == parameters


def test_a_depthwise_convolution_has_one_filter_for_each_channel() -> None:
    assert Conv(8, groups=8, norm=None).parameters((8, 5, 5)) == 8 * 9
    assert Conv(8, groups=8, bias=True).parameters((8, 5, 5)) == 8 * 9 + 8 + 16
