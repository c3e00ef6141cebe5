"""The layer table of any torch module, read through torch.fx: for a built network, the rows of `anatomy`.

The model is traced down to the functions that it calls, and these run without numbers (on torch's meta device), for the
shapes alone. Norm, activation and dropout belong to the row of their convolution or linear layer, as in `anatomy`.
"""

import operator
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from stepladder.anatomy import Reach, Row, over, row, union, widest
from stepladder.spec import Shape, UserError
from stepladder.spec.window import Pair, Window

BATCH = 7  # unlike most sizes of layers, so that a reshape that mixes up images does not go unseen
UNKNOWN = (
    "cannot be read, expected one of: 2-d convolutions, linear layers, batch norm, activations, dropout, softmax over "
    "channels, pooling, padding, mean or maximum over (2, 3), flattening, branches joined by add, sub, mul, div or cat"
)
POINTWISE = [
    *("abs", "alpha_dropout", "batch_norm", "celu", "clamp", "clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d"),
    *("elu", "exp", "feature_dropout", "float", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log"),
    *("logsigmoid", "mish", "neg", "pow", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink"),
    *("softsign", "sqrt", "square", "tanh", "tanhshrink", "threshold"),
]
JOINS = {name: name for name in ("add", "sub", "mul", "div", "maximum", "minimum", "cat")}
JOINS |= {"iadd": "add", "isub": "sub", "imul": "mul", "truediv": "div", "itruediv": "div", "concat": "cat"}
RESHAPES = ("flatten", "view", "reshape", "squeeze", "unsqueeze", "getitem")
ARGUMENTS = {  # in their order, which many functions of torch cannot tell, being built in
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "linear": ("input", "weight"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
    "pad": ("input", "pad"),
    **dict.fromkeys(("mean", "amax", "softmax", "log_softmax", "softmin"), ("input", "dim")),
    **dict.fromkeys(("adaptive_max_pool2d", "adaptive_avg_pool2d", "expand", "expand_as"), ("input",)),
    **dict.fromkeys((*POINTWISE, *RESHAPES), ("input", "index")),
}
NAMES = {name: JOINS.get(name, name) for name in (*ARGUMENTS, *JOINS)}
SPELLINGS = [(home, name + end, NAMES[name]) for home in (F, torch, operator) for name in NAMES for end in ("", "_")]
FUNCTIONS: dict[Any, str] = {getattr(home, spelling): name for home, spelling, name in SPELLINGS if hasattr(home, spelling)}
TRACED = ("activation", "batchnorm", "conv", "dropout", "flatten", "linear", "padding", "pooling")


class TraceError(UserError):
    """A model that cannot be read: the message names the module or function, what was found and what was expected."""


def trace(module: nn.Module, input: tuple[int, int, int]) -> list[Row]:
    """One row per layer of a module that takes images of `input` (channels, height, width), in the order of its calls.

    The rows' parameters add up to the module's; shared ones count where they are used first. Of the inputs of a join
    (add, mul, cat) the largest is shown. A receptive field is that of a position away from the borders; `padding` is
    the one before the first pixel. The module stays as it is, and no random numbers are used up. Raises TraceError.
    """
    if len(input) != 3 or any(type(side) is not int or side < 1 for side in input):
        raise TraceError(f"input is {input!r}, expected three whole numbers: channels, height, width")
    # eval mode is an attribute too; tracing stores constants on the module, and a forward may assign whatever it likes
    spaces = [space for part in module.modules() for space in (vars(part), part._parameters, part._buffers)]
    before = [dict(space) for space in spaces]
    try:
        module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            return _Reader(module, input).rows
    except TraceError as error:
        raise error.with_traceback(None) from None  # without the insides of torch.fx
    finally:
        for space, kept in zip(spaces, before, strict=True):
            space.clear()
            space.update(kept)


class _Tracer(fx.Tracer):
    """Traces the simple modules of torch down to the functions they call; its others, which cannot be read, stay whole."""

    proxy_buffer_attributes = True  # else a buffer that forward changes would be changed while tracing

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) and m.__module__.split(".")[-1] not in TRACED

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and type(m).forward is nn.BatchNorm2d.forward:
            forward = F.batch_norm  # its own checks the number of dimensions, which cannot be traced
            args = (*args, m.running_mean, m.running_var, m.weight, m.bias, m.running_mean is None)
        names = {part: name for name, part in self.root.named_modules()}
        return _traced(names.get(m, "a module outside the model's attributes"), m, super().call_module, m, forward, args, kwargs)


def _traced(name: str, module: nn.Module, step: Callable[..., Any], *args: Any) -> Any:
    """The result of a step of tracing; raises TraceError that names the innermost module whose forward does not allow it."""
    try:
        return step(*args)
    except TraceError:
        raise
    except Exception as error:  # a model's own code may raise anything when it meets a traced value
        raise TraceError(
            f"{name} ({type(module).__name__}): torch.fx cannot trace its forward ({type(error).__name__}: {error}), "
            "expected one whose steps do not depend on the values of its input"
        ) from None


class _Value(NamedTuple):
    """What is known of a node: its value (tensors on the meta device), field, last row, and the weights it is made of.

    The field is what one position sees, the union of some reaches; none where it does not depend on the images. A 1 x 1
    map that was spread over a larger one is a reach of its own, which does not move with the position: its jump is 0.
    """

    it: Any
    field: tuple[Reach, ...] = ()
    row: int | None = None
    weights: frozenset[nn.Parameter] = frozenset()

    @property
    def shape(self) -> Shape:
        return tuple(self.it.shape[1:])

    @property
    def size(self) -> Pair:
        return (self.shape[1], self.shape[2]) if len(self.shape) == 3 else (1, 1)

    def over(self, size: Pair) -> list[Reach]:
        """The reaches when spread over a map of `size`."""
        return over(self.field, self.shape, size)


class _Reader:
    """Walks the graph of a module and gathers `rows`."""

    def __init__(self, module: nn.Module, input: tuple[int, int, int]) -> None:
        self.module, self.rows, self.counted = module, list[Row](), set[nn.Parameter]()
        self.known: dict[fx.Node, _Value] = {}
        self.stored = dict(module.named_parameters()) | dict(module.named_buffers())  # tracing may replace a buffer
        dtypes = [parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()]
        self.images = torch.empty(BATCH, *input, dtype=dtypes[0] if dtypes else None, device="meta")
        for node in _traced("the model", module, _Tracer().trace, module).nodes:
            try:
                self.known[node] = self._read(node)
            except UserError as error:
                raise TraceError(f"{self._where(node)}: {error}") from None
        for name, parameter in module.named_parameters():
            if parameter not in self.counted:
                raise TraceError(f"{name}: its {parameter.numel()} parameters are part of no layer, expected forward to use them")

    def _where(self, node: fx.Node) -> str:
        path, kind = [("", type(self.module)), *node.meta.get("nn_module_stack", {}).values()][-1]
        module = f"{path or 'the model'} ({kind.__name__})"
        itself = kind.__module__.startswith("torch.nn.modules") or node.op in ("placeholder", "call_module")
        return module if itself else f"{getattr(node.target, '__name__', node.target)} in {module}"

    def _read(self, node: fx.Node) -> _Value:
        """What is known of a node; that of a layer adds its row."""
        if not self.known:
            return _Value(self.images, (Reach(),))
        if node.op == "placeholder" and not node.args:
            raise TraceError(f"forward also takes {node.target!r}, expected images alone")
        if node.op in ("placeholder", "output"):
            return _Value(node.args[0])  # a default; what comes out has its rows already
        if node.op == "get_attr":
            weight = self.stored.get(str(node.target), operator.attrgetter(str(node.target))(self.module))
            trained = frozenset([weight] if isinstance(weight, nn.Parameter) else ())
            return _Value(torch.empty_like(weight, device="meta") if isinstance(weight, Tensor) else weight, weights=trained)
        if node.op == "call_module":  # one that was not traced
            raise TraceError(UNKNOWN)
        target = node.target
        name = FUNCTIONS.get(target) if callable(target) else NAMES.get(target.rstrip("_"))
        sources = [self.known[source] for source in node.all_input_nodes if self.known[source].field]
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda source: self.known[source].it)
        try:
            after = _Value(target(*args, **kwargs) if callable(target) else getattr(args[0], target)(*args[1:], **kwargs))
        except Exception as error:  # whatever torch raises
            raise TraceError(f"does not fit its input of {_text(*sources)} ({error})" if name else UNKNOWN) from None
        parts = after.it if isinstance(after.it, tuple) else (after.it,)
        if not sources or not any(isinstance(part, Tensor) for part in parts):
            return after._replace(weights=self._weights(node))  # computed from weights alone, or a shape
        if not name:
            raise TraceError(UNKNOWN)
        if after.it.dim() < 2 or len(after.it) != BATCH:
            raise TraceError(f"makes {BATCH} images into one tensor of shape {tuple(after.it.shape)}, expected {BATCH} in front")
        return self._join(node, name, after, sources) if name in JOINS else self._layer(node, name, after, sources)

    def _layer(self, node: fx.Node, name: str, after: _Value, sources: list[_Value]) -> _Value:
        """What a function makes of one tensor that depends on the images."""
        given: Any = dict(zip(ARGUMENTS[name], node.args, strict=False)) | node.kwargs
        given = fx.node.map_arg(given, lambda source: self.known[source].it)
        source, before = sources[0], sources[0].shape
        if given.get("input") is not source.it or (len(sources) > 1 and name != "expand_as"):
            raise TraceError("has weights that depend on the images, expected constant ones")
        if name in RESHAPES:
            return self._reshape(node, given.get("index"), after, source)
        if name in POINTWISE or name.endswith(("softmax", "softmin")):
            if given.get("dim") not in (None, 1, 1 - after.it.dim()):
                raise TraceError(f"is over dimension {given['dim']}, expected 1, the channels")
            return self._pointwise(node, name, after, source)
        if len(before) != (1 if name == "linear" else 3):
            expected = "flat features: flatten it first" if name == "linear" else "channels x height x width"
            raise TraceError(f"takes {_text(source)}, expected {expected}")
        if name == "linear":
            after = after._replace(field=union(source.over((1, 1)), (1, 1)))
            return self._add(node, name, source, after, macs=after.shape[0] * before[0])
        if name.startswith("expand"):
            return source._replace(it=after.it, field=union(source.over(after.size), after.size))
        operation, window = _window(name, given, before, after.shape)
        if operation == "conv" and not self._weights(node):
            operation = "fixed conv"
        after = after._replace(field=union([reach.through(window) for reach in source.field], after.size))
        macs = prod(after.shape) * given["weight"][0].numel() if operation.endswith("conv") else 0
        return self._add(node, operation, source, after, window, macs)

    def _add(self, node: fx.Node, name: str, source: _Value, after: _Value, window: Window | None = None, macs: int = 0) -> _Value:
        counts = self._parameters(node), macs
        self.rows.append(row(name, source.shape, after.shape, window, counts, (widest(source.field), widest(after.field))))
        return after._replace(row=len(self.rows) - 1)

    def _weights(self, node: fx.Node) -> frozenset[nn.Parameter]:
        return frozenset[nn.Parameter]().union(*(self.known[source].weights for source in node.all_input_nodes))

    def _parameters(self, node: fx.Node) -> int:
        """How many numbers are trained in this node and in none before it."""
        fresh = self._weights(node) - self.counted
        self.counted |= fresh
        return sum(parameter.numel() for parameter in fresh)

    def _pointwise(self, node: fx.Node, name: str, after: _Value, source: _Value) -> _Value:
        """No row; parameters go to the convolution or linear layer before, or else to a row of their own."""
        if after.shape != source.shape:
            raise TraceError(f"makes {_text(source)} into {_text(after)}, expected the same shape")
        if not self._weights(node):
            return source._replace(it=after.it)
        if source.row is None or self.rows[source.row].operation not in ("conv", "linear"):
            return self._add(node, name.replace("_", " "), source, after._replace(field=source.field))
        self.rows[source.row] = replace(self.rows[source.row], parameters=self.rows[source.row].parameters + self._parameters(node))
        return source._replace(it=after.it)

    def _reshape(self, node: fx.Node, index: Any, after: _Value, source: _Value) -> _Value:
        """Flattening is a row, unless it follows a global pooling; axes of size 1 come and go."""
        picks = {str(pick) for pick in (index if isinstance(index, tuple) else (index,))}
        if node.target is operator.getitem and not picks <= {"None", "0", "Ellipsis", "slice(None, None, None)"}:
            raise TraceError(f"takes a part of its input ({index}), expected all of it")
        before, now = source.shape, after.shape
        flat = now == (prod(before),)
        if flat and source.row is not None and source.size == (1, 1) and self.rows[source.row].operation.startswith("global"):
            self.rows[source.row] = replace(self.rows[source.row], output=now)
        elif flat and len(before) == 3:
            field = tuple(replace(reach, spread=source.size) for reach in source.field)
            return self._add(node, "flatten", source, after._replace(field=field))
        one_position = source.size == (1, 1) and all(reach.spread == (1, 1) for reach in source.field)
        if now != before and not (one_position and prod(now) == now[0] == before[0]):
            raise TraceError(f"makes {_text(source)} into {_text(after)}, expected flat: {prod(before)} features")
        return source._replace(it=after.it)

    def _join(self, node: fx.Node, name: str, after: _Value, sources: list[_Value]) -> _Value:
        """The union of the branches' fields, in a row; several values of one layer are one branch."""
        first = max(sources, key=lambda source: (prod(source.shape), widest(source.field).size))
        if name != "cat" and all(source.row == first.row for source in sources):
            return self._pointwise(node, name, after, first)
        if any(len(source.shape) != len(after.shape) or (name == "cat" and source.size != after.size) for source in sources):
            raise TraceError(f"makes {_text(*sources)} into {_text(after)}, expected branches of one shape, or of one size for cat")
        field = union([reach for source in sources for reach in source.over(after.size)], after.size)
        return self._add(node, name, first, after._replace(field=field))


def _text(*values: _Value) -> str:
    return " and ".join(" x ".join(map(str, value.shape)) for value in values)


def _two(value: Any) -> Pair:
    height, width = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return height, width


def _window(name: str, given: dict[str, Any], before: Shape, after: Shape) -> tuple[str, Window]:
    """What a layer on a map is called, and its window; shapes are channels x height x width."""
    kind, pool = ("average", "avgpool") if name in ("mean", "avg_pool2d", "adaptive_avg_pool2d") else ("max", "maxpool")
    if name in ("mean", "amax"):
        dims = given.get("dim", given.get("axis"))
        if not isinstance(dims, tuple | list) or {dim % 4 for dim in dims} != {2, 3}:
            raise TraceError(f"is over {dims}, expected (2, 3): height and width")
        return f"global {kind} pool", Window((before[1], before[2]))
    if name.startswith("adaptive"):
        return f"global {kind} pool" if after[1:] == (1, 1) else pool, Window.adaptive(_two(before[1:]), _two(after[1:]))
    if name == "pad":
        left, top = (*given["pad"], 0, 0)[0:3:2]
        return "pad", Window((1, 1), padding=(top, left))
    kernel = _two(given["weight"].shape[2:] if name == "conv2d" else given["kernel_size"])
    stride = _two(given.get("stride") or (kernel if name != "conv2d" else 1))
    dilation, padding = _two(given.get("dilation", 1)), given.get("padding", 0)
    if isinstance(padding, str):  # torch pads one more after than before where the sum is odd
        padding = [(size - 1) * wide // 2 if padding == "same" else 0 for size, wide in zip(kernel, dilation, strict=True)]
    return "conv" if name == "conv2d" else pool, Window(kernel, stride, _two(padding), dilation)
