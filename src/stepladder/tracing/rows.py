"""The layer table of a module from its calls: for a built network, the rows of `anatomy`.

Norm, activation and dropout belong to the row of their convolution or linear layer, as in `anatomy`.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor, nn

from stepladder.anatomy import Row, row
from stepladder.spec import UserError
from stepladder.spec.window import Window
from stepladder.tracing import functions, moves, products
from stepladder.tracing.call import BATCH, UNSCRIPTED, Call, Made, TraceError
from stepladder.tracing.functions import bound
from stepladder.tracing.layout import CHANNEL, IMAGE, of_images, size_of, spatial
from stepladder.tracing.values import START, Value, joined, largest
from stepladder.tracing.windows import slid

UNKNOWN = (
    "cannot be read, expected one of: convolutions and transposed ones, linear and recurrent layers, attention, matrix products, "
    "norms, activations, dropout, pooling, resizing, padding, means and other reductions, reshaping, reordering, repeating, taking "
    "parts, and branches joined elementwise or by cat"
)
WEIGHTED = (
    *functions.CONVOLUTIONS.values(),
    *("linear", "matmul", "lstm", "gru", "rnn", "lstm cell", "gru cell", "rnn cell", "attention", "multi head attention"),
)
"""Layers to whose row the parameters of a norm, an activation or a scale after them are added."""


def read(module: nn.Module, recorded: Sequence[Call]) -> list[Row]:
    """One row per layer of the module, in the order of its calls, then one for each part whose parameters are not used."""
    reader = _Reader(module, recorded)
    for number, call in enumerate(recorded):
        try:
            for part, value in enumerate(reader.read(call)):
                reader.known[Made(number, part)] = value
        except UserError as error:
            raise TraceError(f"{reader.blamed(call).where}: {error}") from None
        except (LookupError, TypeError, ValueError) as error:  # arguments in a form that nobody thought of
            raise TraceError(f"{call.where}: cannot be read the way that it is called ({error!r})") from None
    return reader.rows + reader.unused()


class _Reader:
    """Walks the calls of a module and gathers `rows`."""

    def __init__(self, module: nn.Module, recorded: Sequence[Call]) -> None:
        self.module, self.recorded, self.rows = module, recorded, list[Row]()
        self.known: dict[Made, Value | frozenset[nn.Parameter]] = {}  # of what does not depend on the images, its weights
        self.own, self.counted = set(module.parameters()), set[nn.Parameter]()
        self.begun: tuple[Call, Value] = recorded[0], START  # the last mean over some of the positions, and what it was of

    def read(self, call: Call) -> Sequence[Value | frozenset[nn.Parameter]]:
        """What is known of each tensor that a call made; that of a layer adds its row."""
        if call.name == "input":
            return [replace(START, layout=of_images(call.made[0].shape))]
        sources = self._sources(call)
        if call.name == "output":
            self._output(call)
            return []
        if not sources or call.name in functions.CONSTANT:
            return [frozenset() if call.name in functions.CONSTANT else self._weights(call)] * len(call.made)
        values = self._values(call, sources)
        if len(values) != len(call.made):
            raise UserError(UNKNOWN)
        for value, tensor in zip(values, call.made, strict=True):
            images = [factor for dim in value.layout for factor in dim if factor.kind == IMAGE]
            if tuple(map(size_of, value.layout)) != tuple(tensor.shape) or [it.size for it in images] != [BATCH]:
                raise UserError(_many(tensor))
        return values

    def _sources(self, call: Call) -> list[Value]:
        """What depends on the images among the arguments of a call."""
        given = _leaves(call.args[:1] if call.name in functions.LIKE_ANOTHER else (call.args, call.kwargs))
        return [value for it in given if isinstance(it, Made) and isinstance(value := self.known[it], Value)]

    def _output(self, call: Call) -> None:
        """Raises UserError for what comes out without its images in front."""
        for it in _leaves(call.args):
            value = self.known[it] if isinstance(it, Made) else None
            if it is None:
                raise UserError("returns nothing, expected what it makes of the images: return it")
            if isinstance(value, Value) and [factor.kind for factor in (value.layout or ((),))[0]] != [IMAGE]:
                raise UserError(_many(self._tensor(it)))

    def blamed(self, call: Call) -> Call:
        """The call that a message is about: for what comes out, the one that made it."""
        made = [it for it in _leaves(call.args) if isinstance(it, Made)] if call.name == "output" else []
        return self.recorded[made[0].call] if made else call

    def _values(self, call: Call, sources: list[Value]) -> Sequence[Value]:
        """What is known of the tensors that a call made of some that depend on the images."""
        name, made = call.name, call.made[0]
        given = {key: self._tensor(value) for key, value in bound(name, call.args, call.kwargs).items()}
        source = sources[0]
        if name in functions.JOINS or (name in ("max", "min") and len(sources) + len(self._weights(call)) > 1):
            return [self._join(call, {"max": "maximum", "min": "minimum"}.get(name, name), given, sources)]
        if name in functions.ATTENTION | functions.PRODUCTS:
            return self._product(call)
        if name in functions.RECURRENT | functions.CELLS:
            first, *others = products.recurrent(name, call.args, sources, [part.shape for part in call.made])
            return self._several(call, name.replace("_tanh", "").replace("_relu", "").replace("_", " "), source, [first, *others])
        if name == "setitem":
            return [self._assign(call, sources)]
        if name in functions.SPREADS | functions.RESHAPES | functions.ORDERS | functions.PARTS:
            return self._move(call, given, source)
        if len(sources) > 1:
            raise UserError("has weights that depend on the images, expected constant ones")
        if name in functions.POINTWISE or name in functions.OVER_DIM or name == "glu":
            return [self._pointwise(call, name, moves.over_dim(name, given, source, made.shape), source)]
        if name in functions.REDUCTIONS:
            return [self._reduce(call, given, source)] * len(call.made)
        if name in functions.CONVOLUTIONS or name in functions.POOLINGS or name in functions.RESIZES or name == "pad":
            operation, after, window = slid(name, given, source, made.shape)
            fixed = name in functions.CONVOLUTIONS and not self._weights(call)
            source = _as_map(source) if operation.startswith("global") else source
            return [self._add(call, f"fixed {operation}" if fixed else operation, source, after, window)] * len(call.made)
        raise UserError(f"cannot be read, {UNSCRIPTED}" if "." in name else UNKNOWN)

    def _tensor(self, value: Any) -> Any:
        """An argument with the tensors that earlier calls made."""
        if isinstance(value, Made):
            return self.recorded[value.call].made[value.part]
        if isinstance(value, tuple | list):
            return type(value)(map(self._tensor, value)) if type(value) in (tuple, list) else value
        return value

    def _add(self, call: Call, name: str, source: Value, after: Value, window: Window | None = None) -> Value:
        """The value after a layer that has a row."""
        after = after.settled()
        counts, shapes = (self._parameters(call), call.macs), (source.shape, after.shape)
        self.rows.append(row(name, *shapes, window, counts, (source.seen(), after.seen())))
        return replace(after, row=len(self.rows) - 1)

    def _several(self, call: Call, name: str, source: Value, values: Sequence[Value]) -> list[Value]:
        """The values of a layer that makes several tensors, in one row."""
        first = self._add(call, name, source, values[0])
        return [first, *(replace(value, row=first.row) for value in values[1:])]

    def _weights(self, call: Call) -> frozenset[nn.Parameter]:
        """The parameters that a call is given, itself or in what was made of them alone."""
        found = set[nn.Parameter]()
        for it in _leaves((call.args, call.kwargs)):
            if isinstance(it, Made) and isinstance(made := self.known.get(it, frozenset()), frozenset):
                found |= made
            elif isinstance(it, nn.Parameter) and it in self.own:
                found.add(it)
        return frozenset(found)

    def _parameters(self, call: Call) -> int:
        """How many numbers are trained in this call and in none before it."""
        fresh = self._weights(call) - self.counted
        self.counted |= fresh
        return sum(parameter.numel() for parameter in fresh)

    def _pointwise(self, call: Call, name: str, after: Value, source: Value) -> Value:
        """No row; parameters go to the convolution or linear layer before, or else to a row of their own."""
        weights = self._weights(call)
        if after.field != source.field or (weights and (source.row is None or self.rows[source.row].operation not in WEIGHTED)):
            return self._add(call, name.replace("_", " "), source, after)
        if weights and source.row is not None:
            own = self.rows[source.row]
            self.rows[source.row] = replace(own, parameters=own.parameters + self._parameters(call))
        return replace(after, row=source.row)

    def _reduce(self, call: Call, given: dict[str, Any], source: Value) -> Value:
        """A mean, maximum or the like. One over all positions is a global pooling, in one step or in two."""
        rank, dims = len(source.layout), given.get("dim")
        places = {dim % rank for dim in ([dims] if isinstance(dims, int) else dims or range(rank))}
        after = moves.reduced(source, places, call.made[0].shape)
        positions, left = source.places, after.places
        if left != positions and left != (1, 1):  # some of the positions are left
            over = (1 if left[0] == positions[0] else positions[0], 1 if left[1] == positions[1] else positions[1])
            after = self._add(call, call.name, source, after, Window(over))
            self.begun = call, source
            return after
        channels_too = any(factor.kind == CHANNEL for place in places for factor in source.layout[place])
        if channels_too or (left == positions and (rank, places) != (4, {2, 3})):
            return self._add(call, call.name, source, after)
        if self._begun(call):
            source = self.begun[1]
            self.rows.pop()
        shown = _as_map(source)
        return self._add(call, f"global {functions.REDUCTIONS[call.name]} pool", shown, after, Window(shown.places))

    def _begun(self, call: Call) -> bool:
        """Whether a mean goes on with one over some of the positions, nothing but reshaping in between."""
        before: Call = call
        while before is call or before.name in functions.RESHAPES:
            before = self.recorded[next(it for it in _leaves((before.args, before.kwargs)) if isinstance(it, Made)).call]
        return before is self.begun[0] and before.name == call.name

    def _move(self, call: Call, given: dict[str, Any], source: Value) -> Sequence[Value]:
        """Flattening is a row, unless it follows a global pooling, and so are more channels, fewer, and thinner maps."""
        name, made = call.name, call.made[0]
        if name in functions.ORDERS:
            return [moves.order(name, given, source, made.shape)]
        if name in functions.RESHAPES:
            return [self._reshape(call, source, moves.reshape(source, made.shape))]
        if name in functions.SPREADS:
            after = moves.repeat(name, given, source, made.shape)
            more = len(after.layout) == len(source.layout) > 1 and size_of(after.layout[1]) != size_of(source.layout[1])
            return [self._add(call, name.replace("_", " "), source, after) if more else after]
        values = moves.parts(name, given, source, [part.shape for part in call.made])
        if len(values[0].layout) != len(source.layout) or all(value.layout == source.layout for value in values):
            return [self._reshape(call, source, value) for value in values] if len(values) == 1 else values
        operation = "slice" if name in ("getitem", "narrow", "index_select") else name.replace("_", " ")
        first, *others = values
        if any(value.field != first.field for value in others):
            return [self._add(call, operation, source, value, moves.thinned(source, value)) for value in values]
        first = self._add(call, operation, source, first, moves.thinned(source, first))
        return [first, *(replace(value, row=first.row) for value in others)]

    def _reshape(self, call: Call, source: Value, after: Value) -> Value:
        before, now = source.shape, after.shape
        flat = now == (prod(before),) != before
        if flat and source.row is not None and prod(before[1:]) == 1 and self.rows[source.row].operation.startswith("global"):
            self.rows[source.row] = replace(self.rows[source.row], output=now)
        elif flat and call.name != "getitem" and (len(before) == 3 or min(before, default=1) > 1):
            return self._add(call, "flatten", source, after)
        return after

    def _join(self, call: Call, name: str, given: dict[str, Any], sources: list[Value]) -> Value:
        """The union of the branches' fields, in a row; several values of one layer are one branch."""
        shape, first, rank = tuple(call.made[0].shape), largest(sources), len(call.made[0].shape)
        name = {"rsub": "sub", "rdiv": "div", "rpow": "pow"}.get(name, name)
        if name not in ("cat", "stack") and all(source.row == first.row and source.field == first.field for source in sources):
            return self._pointwise(call, name, joined(sources, shape), first)
        fits = all(len(source.layout) == rank - (name == "stack") for source in sources)
        place = given.get("dim", 0) % rank
        if name == "stack":
            sources = [replace(it, layout=(*it.layout[:place], (), *it.layout[place:])) for it in sources]
        if name == "cat":
            if any(factor.kind == IMAGE for source in sources for factor in source.layout[place]):
                raise UserError(_many(call.made[0]))
            fits = fits and (
                rank != 4 or len({(source.places, source.alone(place)) for source in sources} | {(first.places, None)}) == 1
            )
            sources = [source.mixed([place]).at(place, ()) for source in sources] if fits else []
        if not fits:
            before = " and ".join(_by(source.shape) for source in self._sources(call))
            raise UserError(f"makes {before} into {_by(shape[1:])}, expected branches of one shape, or of one size for cat")
        return self._add(call, name, first, joined(sorted(sources, key=lambda it: -prod(it.places)), shape))

    def _product(self, call: Call) -> Sequence[Value]:
        """A product with weights, or of two tensors that depend on the images."""
        factors, shapes = products.operands(call.name, call.args, call.kwargs), [part.shape for part in call.made]
        operands = [self.known[it] if isinstance(it, Made) else None for it in factors]
        sources = [it for it in operands if isinstance(it, Value)]
        if call.name == "linear" and (len(sources) > 1 or sources[0] is not operands[0]):
            raise UserError("has weights that depend on the images, expected constant ones")
        if call.name in functions.ATTENTION:
            name = "attention" if call.name.startswith("scaled") else "multi head attention"
            return self._several(call, name, largest(sources), products.attention(sources, shapes))
        equation = products.equation(call.name, call.args, [self._tensor(it).dim() for it in factors])
        name = "linear" if call.name == "linear" else "matmul"
        return [self._add(call, name, largest(sources), products.contracted(equation, operands, shapes[0]))]

    def _assign(self, call: Call, sources: Sequence[Value]) -> Value:
        """A part of a tensor that was written over."""
        target, index, given = call.args
        before, value = (self.known.get(it) if isinstance(it, Made) else None for it in (target, given))
        parts = [before] if isinstance(before, Value) else []
        if isinstance(value, Value):
            parts.append(moves.placed(value, index, call.made[0].shape))
        return self._add(call, "assign", largest(sources), joined(parts, call.made[0].shape))

    def unused(self) -> list[Row]:
        """One row for each part with parameters of its own that forward never uses."""
        left: dict[str, int] = {}
        for path, parameter in self.module.named_parameters():
            if parameter not in self.counted:
                owner = path.rpartition(".")[0]
                left[owner] = left.get(owner, 0) + parameter.numel()
        kinds = {owner: type(self.module.get_submodule(owner)).__name__ for owner in left}
        return [Row(f"unused {kinds[owner]}", (), (), None, None, None, count, 0, 0, 0, 0, 0) for owner, count in left.items()]


def _as_map(source: Value) -> Value:
    """The value with its dimensions as they are in a map."""
    usual = len(source.layout) == 4 and not any(spatial(dim) for dim in source.layout[:2])
    return source if usual else replace(source, layout=of_images((BATCH, *source.map())))


def _leaves(value: Any) -> list[Any]:
    """What is in tuples, lists and dicts, in order."""
    if isinstance(value, Made) or not isinstance(value, tuple | list | dict):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [leaf for part in parts for leaf in _leaves(part)]


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _many(tensor: Tensor) -> str:
    return f"makes {BATCH} images into one tensor of shape {tuple(tensor.shape)}, expected {BATCH} in front"
