"""A program as an ONNX file: levels (uint8) in, class scores out, normalisation inside; of 8 bits on request."""

import json
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.export.calibration import Range, ranges, scaled
from stepladder.export.options import Options
from stepladder.inference.operation import IMAGE, Floats, Operation, Program, arrays, taken
from stepladder.spec import Shape, UserError

OPSET, IR = 17, 8
BATCH = 500
"""So many images are answered at a time."""

FUNCTIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "hard_swish": "HardSwish"}
"""Functions that are one node without attributes."""


class Graph(NamedTuple):
    """Nodes and constants of a graph that is being written."""

    nodes: list[Any]
    constants: list[Any]

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the output of a new node."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, array: Any, of: type[np.generic] = np.float32) -> str:
        """The name of a new constant."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, of).reshape(np.shape(array)), name))
        return name


def check(program: Program, options: Options) -> None:
    """Raise UserError where the onnx package is missing, or, for 8 bits, which its reference does not run, onnxruntime."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UserError(
            "an export to ONNX is written with the onnx package, which is not installed: pip install 'stepladder[onnx]'"
        ) from None
    if options.int8 and find_spec("onnxruntime") is None:
        raise UserError("an ONNX file of 8 bits is checked by onnxruntime, which is not installed: pip install onnxruntime")


def write(program: Program, folder: Path, options: Options) -> list[Path]:
    """Write NAME.onnx."""
    import onnx

    path = folder / f"{options.name}.onnx"
    path.write_bytes(model(program, options).SerializeToString())
    onnx.checker.check_model(str(path), full_check=True)
    return [path]


def answers(folder: Path, program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """What NAME.onnx answers, by onnxruntime where that is installed, else by ONNX's own reference."""
    scores, by = scored(folder / f"{options.name}.onnx", images)
    return scores.argmax(1).astype(np.uint8), by


def scored(path: Path, images: NDArray[np.uint8]) -> tuple[Floats, str]:
    """The scores that a file gives to images, and what ran it."""
    try:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4  # what goes wrong is raised
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        by = f"onnxruntime {onnxruntime.__version__}"
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session, by = ReferenceEvaluator(str(path)), f"the reference of onnx {onnx.__version__}"
    parts = np.array_split(images, max(1, -(-len(images) // BATCH)))
    return np.concatenate([session.run(None, {"images": part})[0] for part in parts]), by


def model(program: Program, options: Options) -> Any:
    """The ONNX model of a program: images (n, channels, height, width) to scores (n, classes)."""
    from onnx import TensorProto, helper

    graph = Graph([], [])
    found = ranges(program, options.training) if options.int8 else {}
    made = {IMAGE: _normalised(graph, program)}
    shapes, scales = dict[int, Shape]({IMAGE: program.input}), dict[int, Range]()
    last = len(program.operations) - 1
    if found:
        scales[IMAGE] = found[IMAGE]
        made[IMAGE] = _rounded(graph, made[IMAGE], found[IMAGE])
    for number, operation in enumerate(program.operations):
        own = operation.inputs[-1]
        inputs = [
            _shaped(graph, made[each], shapes[each], expected)
            for each, expected in zip(operation.inputs, taken(operation), strict=True)
        ]
        value = _operation(graph, operation, inputs, scales.get(own))
        shapes[number], made[number] = operation.shape, value
        if found and number != last:  # the scores stay as they are
            scales[number] = scales[own] if operation.kind == "max_pool" else found[number]
            made[number] = _rounded(graph, value, scales[number])
    scores = _shaped(graph, made[last], shapes[last], (len(program.classes),))
    graph.nodes.append(helper.make_node("Identity", [scores], ["scores"]))
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", *program.input])
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(program.classes)])
    written = helper.make_model(
        helper.make_graph(graph.nodes, options.name, [images], [output], graph.constants, doc_string=options.what),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="stepladder",
    )
    helper.set_model_props(written, {"classes": json.dumps(program.classes)})
    return written


def _normalised(graph: Graph, program: Program) -> str:
    mean, std = (np.array(each)[:, None, None] for each in (program.mean, program.std))
    level = graph.node("Div", graph.node("Cast", "images", to=1), graph.constant(np.array(255)))
    return graph.node("Div", graph.node("Sub", level, graph.constant(mean)), graph.constant(std))


def _shaped(graph: Graph, value: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return value if shape == expected else graph.node("Reshape", value, graph.constant([-1, *expected], np.int64))


def _operation(graph: Graph, operation: Operation, inputs: list[str], scale: Range | None) -> str:
    """The value of an operation; `scale` is that of its own input, where it is of 8 bits."""
    source, x = inputs[0], inputs[-1]
    match operation.kind:
        case "conv" | "linear":
            value = _weighted(graph, operation, x, scale)
        case "max_pool":
            value = graph.node("MaxPool", x, **_window(operation))
        case "avg_pool":
            value = graph.node("AveragePool", x, count_include_pad=1, **_window(operation))
        case "mean":
            value = graph.node("ReduceMean", x, axes=[2, 3], keepdims=0)
        case "add":
            value = graph.node("Add", source, x)
        case "multiply" | "scale":
            gate = graph.node("Sigmoid", x) if operation.kind == "scale" else x
            one = operation.before != operation.shape  # a number a channel
            value = graph.node("Mul", source, _shaped(graph, gate, (), (operation.shape[0], 1, 1)) if one else gate)
        case "concat":
            value = graph.node("Concat", source, x, axis=1)
        case "affine":
            value = _affine(graph, operation, x)
        case "group_norm":
            value = _affine(graph, operation, _group_normed(graph, operation, x))
        case "function":
            value = x
        case _:
            raise UserError(f"an operation {operation.kind!r} cannot be written as ONNX")
    return _function(graph, operation, value)


def _window(operation: Operation, dilated: bool = False) -> dict[str, Any]:
    window = operation.window
    assert window
    dilations = {"dilations": list(window.dilation)} if dilated else {}
    return {"kernel_shape": list(window.kernel), "strides": list(window.stride), "pads": [*window.padding] * 2} | dilations


def _weighted(graph: Graph, operation: Operation, x: str, scale: Range | None) -> str:
    weight, bias = arrays(operation)
    if scale is None:
        both = graph.constant(weight), graph.constant(bias)
    else:
        steps, whole = scaled(weight)
        steps_of_bias = steps * np.float32(scale.step)
        whole_bias = np.clip(np.rint(bias / steps_of_bias.astype(np.float64)), -(2**31), 2**31 - 1)
        zero = graph.constant(np.zeros(len(steps)), np.int8), graph.constant(np.zeros(len(steps)), np.int32)
        both = (
            graph.node("DequantizeLinear", graph.constant(whole, np.int8), graph.constant(steps), zero[0], axis=0),
            graph.node("DequantizeLinear", graph.constant(whole_bias, np.int32), graph.constant(steps_of_bias), zero[1], axis=0),
        )
    if operation.kind == "linear":
        return graph.node("Gemm", x, *both, transB=1)
    return graph.node("Conv", x, *both, group=operation.groups, **_window(operation, dilated=True))


def _affine(graph: Graph, operation: Operation, x: str) -> str:
    weight, bias = (_each(array, operation.before) for array in arrays(operation))
    return graph.node("Add", graph.node("Mul", x, graph.constant(weight)), graph.constant(bias))


def _each(array: Floats, shape: tuple[int, ...]) -> Floats:
    """A number for each channel, or for each number of an image, as it is spread over that."""
    return array if array.shape == shape or len(array) == 1 else array.reshape(-1, *[1] * (len(shape) - 1))


def _group_normed(graph: Graph, operation: Operation, x: str) -> str:
    """An instance norm of each group as a channel, as torch's exporter writes it."""
    groups = (operation.groups, prod(operation.before) // operation.groups)
    ones, zeros = graph.constant(np.ones(operation.groups)), graph.constant(np.zeros(operation.groups))
    grouped = _shaped(graph, x, operation.before, groups)
    normed = graph.node("InstanceNormalization", grouped, ones, zeros, epsilon=operation.parameter)
    return _shaped(graph, normed, groups, operation.before)


def _function(graph: Graph, operation: Operation, x: str) -> str:
    match operation.function:
        case None:
            return x
        case "leaky_relu":
            return graph.node("LeakyRelu", x, alpha=operation.parameter)
        case "elu":
            return graph.node("Elu", x, alpha=operation.parameter)
        case "prelu":
            assert operation.weight is not None
            return graph.node("PRelu", x, graph.constant(_each(operation.weight, operation.shape)))
        case "relu6":
            return graph.node("Clip", x, graph.constant(np.array(0)), graph.constant(np.array(6)))
        case "silu":
            return graph.node("Mul", x, graph.node("Sigmoid", x))
        case "gelu":
            below = graph.node("Erf", graph.node("Div", x, graph.constant(np.sqrt(2))))
            half = graph.node("Mul", x, graph.constant(np.array(0.5)))
            return graph.node("Mul", half, graph.node("Add", below, graph.constant(np.array(1))))
        case known if known in FUNCTIONS:
            return graph.node(FUNCTIONS[known], x)
    raise UserError(f"the function {operation.function!r} cannot be written as ONNX")


def _rounded(graph: Graph, value: str, scale: Range) -> str:
    """A value in steps of 8 bits."""
    step, zero = graph.constant(np.array(scale.step)), graph.constant(np.array(scale.zero), np.uint8)
    return graph.node("DequantizeLinear", graph.node("QuantizeLinear", value, step, zero), step, zero)
