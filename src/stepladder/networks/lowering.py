"""A module's calls as layers: lowered where every operation has an equal there, refused with the reason where one has not.

What is lowered is compared with the module before it is believed (`networks.compare`): that finds what calls do not show.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepladder.networks.compare import difference
from stepladder.networks.graph import IMAGES, Node, in_order, merged, needed
from stepladder.networks.identity import line, tensor_names
from stepladder.networks.module import Lowered
from stepladder.networks.operations import ARGUMENTS, Refused, operation
from stepladder.spec import Layer, Network, Shape, SpecError
from stepladder.spec.layers import AvgPool, BatchNorm, Concat, Flatten, GlobalAvgPool, Multiply, Residual, written
from stepladder.tracing import BATCH, Call, Made, Recording

MODES = ("training",)
"""Arguments in which calls of evaluation and of training may differ: dropout's and norms'."""

UNCHANGED = frozenset(["contiguous", "clone", "positive", "to", "float", "cpu", "cuda", "type", "type_as", "requires_grad"])
RESHAPES = frozenset(["flatten", "view", "reshape", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel"])
SPREADS = frozenset(["expand", "expand_as", "broadcast_to"])


class Value(NamedTuple):
    """What a tensor holds: the output of a node, in a form of its own; `padding` zeros are still to be put around it.

    Forms: "" as the node's shape is; "lifted", flat features as maps of 1 x 1; "spread", maps whose rows and columns are one
    dimension; "rows" and "columns", the means over the others; "expanded", one number a channel all over a map; "logarithm",
    of the softmax.
    """

    node: int
    form: str = ""
    padding: int = 0


def lower(module: nn.Module, evaluation: Recording, training: Recording) -> Lowered:
    """The layers that compute what a module does, from its calls in both modes; raises Refused."""
    lowering = _Lowering(module, tuple(evaluation.calls[0].made[0].shape[1:]))
    names = tensor_names(module)
    both = (_depending(recording.calls) for recording in (evaluation, training))
    for number, (call, other) in enumerate(zip(*both, strict=False)):
        try:
            if line(call, names, MODES) != line(other, names, MODES):
                raise Refused("it computes something else in training than in evaluation")
            lowering.read(number, call, other)
        except Refused as refused:
            lowering.refuse(number, call, f"{call.where}: {refused}")
        except (LookupError, TypeError, ValueError, SpecError) as error:
            lowering.refuse(number, call, f"{call.where}: it has no equal in the layer language ({error})")
    return lowering.finished()


def _depending(calls: Sequence[Call]) -> list[Call]:
    """The calls that depend on the images, numbered anew; what else forward makes has the number -1."""
    places: dict[int, int] = {}
    found = list[Call]()
    for number, call in enumerate(calls):
        if number == 0 or any(made.call in places for made in _made((call.args, call.kwargs))):
            places[number] = len(found)
            found.append(replace(call, args=_numbered(call.args, places), kwargs=_numbered(call.kwargs, places)))
    return found


def _made(value: Any) -> Iterator[Made]:
    if isinstance(value, Made):
        yield value
    elif isinstance(value, tuple | list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _made(part)


def _numbered(value: Any, places: dict[int, int]) -> Any:
    if isinstance(value, Made):
        return Made(places.get(value.call, -1), value.part)
    if isinstance(value, dict):
        return {key: _numbered(part, places) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_numbered(part, places) for part in value) if type(value) in (tuple, list) else value
    return value


class _Lowering:
    """Walks the calls of a module and gathers its nodes."""

    def __init__(self, module: nn.Module, input: tuple[int, ...]) -> None:
        self.module, self.input = module, input
        self.buffers = dict(module.named_buffers(remove_duplicate=False))
        self.fixed = {id(tensor) for tensor in (*module.buffers(), *module.parameters()) if not _trained(tensor)}
        self.nodes = list[Node]()
        self.known = dict[Made, Value]()
        self.refused = dict[Made, str]()  # what is refused only where something that is needed takes it
        self.end: int | None = None

    def read(self, number: int, call: Call, other: Call) -> None:
        """Takes in a call, as it is in evaluation and as it is in training."""
        if call.name == "input":
            self.known[Made(number)] = Value(IMAGES)
            return
        if not call.grad:
            raise Refused("no gradient goes through it")
        if call.name == "output":
            self.end = self._output(self._value(call.args[0])).node
            return
        given = dict(zip(ARGUMENTS.get(call.name, ("input",)), call.args, strict=False)) | call.kwargs
        if len(call.made) != 1 or call.made[0].dtype != given_type(self.module) or call.made[0].shape[:1] != (BATCH,):
            raise Refused("it has no equal in the layer language")
        after = tuple(call.made[0].shape[1:])
        theirs = dict(zip(ARGUMENTS.get(other.name, ("input",)), other.args, strict=False)) | other.kwargs
        usual = "dropout" in call.name  # what torch takes where it is not told
        given["training"] = (given.get("training", usual), theirs.get("training", usual))
        self.known[Made(number)] = self._made(call, given, after)

    def _made(self, call: Call, given: dict[str, Any], after: Shape) -> Value:
        """What a call makes."""
        if call.name in ("add", "mul"):
            return self._join(call, after)
        if call.name == "cat":
            return self._concatenated(call)
        value = self._value(given["input"])
        if call.name in UNCHANGED:
            return value
        if value.form == "logarithm":
            raise Refused("it takes the logarithm of a softmax, which the layer language has at the end alone: in the loss")
        if call.name in SPREADS and prod(self._shape(value)) == self._shape(value)[0] == after[0]:
            return Value(value.node, "expanded")
        if call.name in RESHAPES:
            return self._reshaped(value, after)
        if call.name == "mean":
            return self._mean(value, call, after)
        if call.name == "pad":
            return self._padded(value, call)
        if call.name == "log_softmax":
            dim = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
            if value.form or len(self._shape(value)) != 1 or dim not in (1, -1, None):
                raise Refused("it is over something else than the classes")
            return value._replace(form="logarithm")
        if call.name == "conv2d" and value.padding:
            given = given | {"padding": _more(given.get("padding", 0), value.padding)}
            value = value._replace(padding=0)
        return self._layer(call.name, given, value, after)

    def _layer(self, name: str, given: dict[str, Any], value: Value, after: Shape) -> Value:
        """The node of an operation of one input."""
        lifted = value.form == "lifted" and name not in ("conv2d", "linear", "layer_norm", "group_norm", "instance_norm")
        if (value.form and not lifted) or value.padding:
            raise Refused("it takes an input in a form that the layer language has not")
        before = self._shape(value)
        layer, tensors = operation(name, given, before, after)
        if layer is None:
            return value
        made = self._add(layer, (value.node,), tensors, layer.output(before))
        return made._replace(form="lifted" if lifted or len(self._shape(made)) < len(after) else "")

    def _add(self, layer: Layer, inputs: tuple[int, ...], tensors: Sequence[Tensor | None], shape: Shape) -> Value:
        found = tuple(tensor for tensor in tensors if tensor is not None)
        statistics = found[2:] if isinstance(layer, BatchNorm) else ()
        if any(id(tensor) in self.fixed for tensor in found[: len(found) - len(statistics)]):
            raise Refused("its weights are not trained, those of the layer language are")
        if statistics and not self._counted(*statistics):
            raise Refused("its running statistics are not those that a norm of torch keeps, with a count of batches")
        for tensor in found:
            if tensor.dtype is not torch.float32 or not tensor.is_contiguous():
                raise Refused(f"its weights are {_stored(tensor)}, those of the layer language are contiguous and of 32 bits")
        self.nodes.append(Node(layer, inputs, found, shape))
        return Value(len(self.nodes) - 1)

    def _counted(self, mean: Tensor, variance: Tensor) -> bool:
        """Whether running statistics are a norm's buffers, beside its count of batches."""
        names = {id(buffer): name for name, buffer in self.buffers.items()}
        name = names.get(id(variance), "")
        count = self.buffers.get(f"{name.removesuffix('running_var')}num_batches_tracked")
        return id(mean) in names and name.endswith("running_var") and count is not None and count.dtype is torch.int64

    def refuse(self, number: int, call: Call, reason: str) -> None:
        """Notes why a call cannot be taken in; raises that where all depends on it."""
        if call.name == "output":
            raise Refused(self.refused.get(call.args[0], reason) if isinstance(call.args[0], Made) else reason)
        first = next((self.refused[made] for made in _made((call.args, call.kwargs)) if made in self.refused), reason)
        self.refused |= {Made(number, part): first for part in range(len(call.made))}

    def _value(self, given: Any) -> Value:
        if not isinstance(given, Made) or given not in self.known:
            raise Refused("it takes something that is neither made of the images nor a tensor of the module")
        return self.known[given]

    def _shape(self, value: Value) -> Shape:
        return self.input if value.node == IMAGES else self.nodes[value.node].shape

    def _reshaped(self, value: Value, after: Shape) -> Value:
        """A value in another shape, which must keep channels apart."""
        shape = self._shape(value)
        if value.padding or value.form not in ("", "lifted", "spread"):
            raise Refused("it reshapes what the layer language has not")
        if after == shape:
            return Value(value.node)
        if len(shape) == 1:
            if after[0] == shape[0] and prod(after) == shape[0]:
                return Value(value.node, "lifted")
        elif after == (prod(shape),):
            return self._add(Flatten(), (value.node,), (), after)
        elif after == (shape[0], prod(shape[1:])):
            return Value(value.node, "spread")
        raise Refused(f"it makes {written(after)} of {written(shape)}, the layer language has flattening alone")

    def _mean(self, value: Value, call: Call, after: Shape) -> Value:
        """A mean over rows, columns or both; only over both, in one go or in two, it is a layer."""
        given = dict(zip(("input", "dim", "keepdim"), call.args, strict=False)) | call.kwargs
        dims, shape = given.get("dim", given.get("axis")), self._shape(value)
        rank = {"": 4, "spread": 3}.get(value.form, 4 if given.get("keepdim") else 3)
        over = {dim % rank for dim in ((dims,) if isinstance(dims, int) else tuple(dims or ()))}
        if len(shape) != 3 or value.padding or given.get("dtype"):
            raise Refused("it is no mean over the rows and columns of a map")
        left = {"": {2, 3}, "spread": {2}, "rows": {2}, "columns": {3 if given.get("keepdim") else 2}}.get(value.form)
        if over == left:
            square = value.form == "" and given.get("keepdim") and shape[1] == shape[2]
            layer: AvgPool | GlobalAvgPool = AvgPool(shape[1]) if square else GlobalAvgPool()
            made = self._add(layer, (value.node,), (), layer.output(shape))
            return made._replace(form="" if self._shape(made) == after else "lifted")
        if value.form == "" and over in ({3}, {2}):
            return Value(value.node, "rows" if over == {3} else "columns")
        raise Refused("it is no mean over the rows and columns of a map")

    def _padded(self, value: Value, call: Call) -> Value:
        given = dict(zip(("input", "pad", "mode", "value"), call.args, strict=False)) | call.kwargs
        sides = set(given["pad"])
        if given.get("mode", "constant") != "constant" or given.get("value") or len(given["pad"]) != 4 or len(sides) > 1:
            raise Refused("it pads with something else than as many zeros on each side")
        if value.form or min(sides) < 0:
            raise Refused("it pads what is no map")
        return value._replace(padding=value.padding + sides.pop())

    def _join(self, call: Call, after: Shape) -> Value:
        """A sum of two equals; a product of two equals, or of channels and a number for each."""
        if call.kwargs.get("alpha", 1) != 1 or len(call.args) != 2:
            raise Refused("it is no sum or product of two")
        one, two = (self._value(arg) for arg in call.args)
        if one.padding or two.padding or one.node == two.node:
            raise Refused("it joins what is still to be padded, or a tensor with itself")
        if one.form == two.form and one.form in ("", "lifted") and self._shape(one) == self._shape(two):
            layer = Residual(1, None) if call.name == "add" else Multiply(1)
            return self._add(layer, (one.node, two.node), (), self._shape(one))._replace(form=one.form)
        gate, source = (two, one) if self._shape(one) == after else (one, two)
        if call.name == "add" or len(after) != 3 or source.form or self._shape(source) != after or not self._is_gate(gate, after):
            raise Refused("it joins what has not one shape")
        return self._add(Multiply(1), (source.node, gate.node), (), after)

    def _is_gate(self, value: Value, after: Shape) -> bool:
        """Whether it is one number a channel."""
        shape = self._shape(value)
        return value.form in ("", "lifted", "expanded") and prod(shape) == shape[0] == after[0]

    def _concatenated(self, call: Call) -> Value:
        given = dict(zip(("tensors", "dim"), call.args, strict=False)) | call.kwargs
        values = [self._value(each) for each in given["tensors"]]
        ranks = {len(self._shape(value)) for value in values}
        if any(value.form or value.padding for value in values) or len(ranks) > 1 or len(values) < 2:
            raise Refused("it concatenates what the layer language has not")
        if given.get("dim", given.get("axis", 0)) not in (1, -max(ranks)):
            raise Refused("it concatenates something else than channels")
        made = values[0]
        for value in values[1:]:
            if value.node == made.node:
                raise Refused("it concatenates a tensor with itself")
            before, more = self._shape(made), self._shape(value)
            made = self._add(Concat(1), (made.node, value.node), (), (before[0] + more[0], *before[1:]))
        return made

    def _output(self, value: Value) -> Value:
        if value.form not in ("", "logarithm") or value.node == IMAGES or len(self._shape(value)) != 1:
            raise Refused("its scores are not the output of a layer")
        return value

    def finished(self) -> Lowered:
        """The network; raises Refused where the layer language cannot have it."""
        if self.end is None:
            raise Refused("it computes something else in training than in evaluation")
        for number in set(range(len(self.nodes))).difference(needed(self.nodes, self.end)):
            if isinstance(self.nodes[number].layer, BatchNorm):
                raise Refused("a batch norm whose output is not used, whose running statistics move all the same")
        nodes = merged(self.nodes, self.end, self.input)
        try:
            layers, tensors = in_order(nodes)
            channels, height, width = self.input
            network = Network(layers, (channels, height, width), nodes[-1].shape[0])
        except SpecError as error:
            raise Refused(str(error)) from None
        lowered = Lowered(network, tuple(self._named(tensor_names(self.module), tensors)))
        if reason := difference(self.module, lowered):
            raise Refused(reason)
        return lowered

    def _named(self, names: dict[int, str], tensors: Sequence[Tensor]) -> Iterator[str]:
        """The tensors' names; after running statistics comes the count of batches, which no call is given."""
        for tensor in tensors:
            if id(tensor) not in names:
                raise Refused("one of its weights is no tensor of the module")
            name = names[id(tensor)]
            yield name
            if name.endswith("running_var") and name in self.buffers:
                yield f"{name.removesuffix('running_var')}num_batches_tracked"


def _trained(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.requires_grad


def _stored(tensor: Tensor) -> str:
    """How a tensor is stored, for people."""
    order = "" if tensor.is_contiguous() else " in an order of their own"
    return f"{str(tensor.dtype).removeprefix('torch.')}{order}"


def given_type(module: nn.Module) -> Any:
    """The type of numbers that a module works on."""
    return next((parameter.dtype for parameter in module.parameters()), None)


def _more(padding: Any, by: int) -> Any:
    if isinstance(padding, str):
        raise Refused("it pads twice")
    return tuple(side + by for side in padding) if isinstance(padding, tuple | list) else padding + by
