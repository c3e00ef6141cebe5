"""Matrix products, attention and recurrent layers: what the positions of their results see."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stepladder.spec import UserError
from stepladder.tracing.functions import CELLS, bound
from stepladder.tracing.layout import IMAGE, channels, dim_of_images
from stepladder.tracing.values import Value, joined

FIRST, SECOND = ("mat1", "batch1", "input"), ("other", "weight", "mat2", "batch2", "vec", "tensor2")
LETTERS = "abcdefghijklmnopqrstuvw"
EQUATIONS = {
    "mm": "ij,jk->ik", "addmm": "ij,jk->ik", "bmm": "bij,bjk->bik", "baddbmm": "bij,bjk->bik", "mv": "ij,j->i",
}  # fmt: skip


def operands(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """What is multiplied."""
    if name == "einsum":
        return [*args[1]] if isinstance(args[1], list) else [*args[1:]]
    if name.endswith("attention_forward") or name.startswith("scaled"):
        given = [*args, *kwargs.values()]
        return given[:3]
    if name == "rmatmul":
        return [args[1], args[0]]
    known = bound(name, tuple(args), kwargs)
    return [next(known[key] for key in keys if key in known) for keys in (FIRST, SECOND)]


def equation(name: str, args: Sequence[Any], ranks: Sequence[int]) -> str:
    """A product as an equation of torch.einsum, with a letter for every dimension."""
    if name in EQUATIONS:
        return EQUATIONS[name]
    if name == "einsum":
        return _spelled(args[0].replace(" ", ""), ranks)
    if name == "linear":
        return f"{LETTERS[: ranks[0] - 1]}x,yx->{LETTERS[: ranks[0] - 1]}y"
    rest = max(0, *(rank - 2 for rank in ranks))
    left, right = (LETTERS[rest - max(rank - 2, 0) : rest] for rank in ranks)
    first, second = ("x" if ranks[0] == 1 else left + "yx"), ("x" if ranks[1] == 1 else right + "xz")
    return f"{first},{second}->{LETTERS[:rest]}{'y' if ranks[0] > 1 else ''}{'z' if ranks[1] > 1 else ''}"


def _spelled(text: str, ranks: Sequence[int]) -> str:
    """An equation with its arrow, and with letters (digits, that nobody uses) for its dots."""
    inputs, arrow, output = text.partition("->")
    parts = inputs.split(",")
    dots = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    most = "0123456789"[: max([0, *(dot for dot, part in zip(dots, parts, strict=True) if "..." in part)])]
    if not arrow:
        once = sorted(letter for letter in set(inputs) - {",", "."} if inputs.count(letter) == 1)
        output = ("..." if "..." in inputs else "") + "".join(once)
    spelled = [part.replace("...", most[len(most) - dot :]) for part, dot in zip(parts, dots, strict=True)]
    return ",".join(spelled) + "->" + output.replace("...", most)


def contracted(equation: str, operands: Sequence[object], shape: Sequence[int]) -> Value:
    """What the positions of a product see: all that lies along the dimensions that are summed over."""
    inputs, output = equation.split("->")
    values = []
    for letters, value in zip(inputs.split(","), operands, strict=True):
        if not isinstance(value, Value):
            continue
        value = value.mixed(place for place, letter in enumerate(letters) if letter not in output)
        value = replace(value, layout=tuple(value.layout[letters.index(letter)] if letter in letters else () for letter in output))
        values.append(value)
    return joined(values, shape)


def attention(sources: Sequence[Value], shapes: Sequence[Sequence[int]]) -> list[Value]:
    """Attention of queries, keys and values, and its weights: each query sees all keys and values."""
    query, *others = [source.mixed([len(source.layout) - 1]) for source in sources]
    query = query.at(len(query.layout) - 1, ())
    first = joined([query, *(_everywhere(other) for other in others)], shapes[0])
    return [first, *(_flat(first.mixed(first.apart()), shape, 0) for shape in shapes[1:])]


def recurrent(name: str, args: Sequence[Any], sources: Sequence[Value], shapes: Sequence[Sequence[int]]) -> list[Value]:
    """A recurrent layer or cell: what comes out sees all that went in. Raises UserError where it runs over the images."""
    if name in CELLS:
        return [joined([_everywhere(source) for source in sources], shapes[0])] * len(shapes)
    place, time = dim_of_images(sources[0].layout), 1 if args[-1] is True else 0
    if len(sources[0].layout) != 3 or place != 1 - time:
        raise UserError(f"runs over the images, expected them in dimension {1 - time}: see batch_first")
    whole = sources[0].mixed(sources[0].apart())
    return [_flat(whole, shape, place if number == 0 else 1) for number, shape in enumerate(shapes)]


def _everywhere(value: Value) -> Value:
    """A value that any position may see all of: its images alone, the rest to be broadcast."""
    whole = value.mixed(value.apart())
    return replace(whole, layout=tuple(dim if any(factor.kind == IMAGE for factor in dim) else () for dim in whole.layout))


def _flat(value: Value, shape: Sequence[int], images: int) -> Value:
    """A value of that shape in which all positions see alike."""
    layout = [
        value.layout[dim_of_images(value.layout) or 0] if place == images else channels(size) for place, size in enumerate(shape)
    ]
    return replace(value, layout=tuple(layout))
