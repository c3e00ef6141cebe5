"""Python expressions laid out as `ruff format` lays them out at its default width, so that it leaves them as they are.

What fits on a line stands on one; else a call has its arguments on one indented line, or one a line, each with a comma; a list
has its items one a line; a long text is several literals in parentheses.
"""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 88
"""Of a line, at most; ruff's own default."""
INDENT = "    "


class Text(NamedTuple):
    """A text for people, which may be split between words."""

    words: str


class List(NamedTuple):
    """Items between brackets."""

    items: "Sequence[Expression]"


class Call(NamedTuple):
    """A function or a kind, and its arguments: the name of each, "" where it goes by its place, and the value."""

    name: str
    arguments: "Sequence[tuple[str, Expression]]"


Expression = str | Text | List | Call
"""A str is source text that is never split."""


def assigned(name: str, value: Expression) -> str:
    """The lines of `name = value`."""
    return "\n".join(_lines(value, "", f"{name} = ", ""))


def literal(text: str) -> str:
    """A text as Python source, in the quotes that ruff prefers: double ones, unless they are more often in it."""
    body = escaped(text)
    quote = "'" if body.count('"') > body.count("'") else '"'
    return quote + body.replace(quote, f"\\{quote}") + quote


def escaped(text: str, kept: str = "") -> str:
    """What stands between quotes for a text, but for the quotes in it; line ends as they are where they are `kept`."""
    return "".join(each if each in kept or (each.isprintable() and each != "\\") else repr(each)[1:-1] for each in text)


def flat(value: Expression) -> str:
    """The value on one line."""
    match value:
        case Text():
            return literal(value.words)
        case List():
            return f"[{', '.join(map(flat, value.items))}]"
        case Call():
            return f"{value.name}({_arguments(value)})"
        case _:
            return value


def _arguments(call: Call) -> str:
    return ", ".join(_before(name) + flat(value) for name, value in call.arguments)


def _before(name: str) -> str:
    return f"{name}=" if name else ""


# How wide ruff finds a character beyond ASCII depends on its table of them. Lines are laid out so that it makes no difference.


def fits(line: str) -> bool:
    """Whether a line fits, however wide characters beyond ASCII are."""
    return sum(1 if each.isascii() else 2 for each in line) <= WIDTH


def _overflows(line: str) -> bool:
    """Whether a line does not fit, however narrow characters beyond ASCII are, and with none of its quotes escaped."""
    return sum(map(str.isascii, line)) - line.count('\\"') - line.count("\\'") > WIDTH


def _lines(value: Expression, indent: str, before: str, after: str) -> list[str]:
    """The lines of a value, which follows `before` on a line and is followed by `after`."""
    line = indent + before + flat(value) + after
    if fits(line):
        return [line]
    match value:
        case Text():
            return _split(value.words, indent, before, after) or [line]
        case List():
            return _exploded("[", [("", item) for item in value.items], "]", indent, before, after)
        case Call():
            one = indent + INDENT + _arguments(value)
            if _overflows(line) and fits(one):
                return [f"{indent}{before}{value.name}(", one, f"{indent}){after}"]
            return _exploded(f"{value.name}(", value.arguments, ")", indent, before, after)
        case _:
            return [line]


def _exploded(
    opening: str, items: Sequence[tuple[str, Expression]], closing: str, indent: str, before: str, after: str
) -> list[str]:
    """One item a line, each with a comma, but for a list that is the only one."""
    found = [f"{indent}{before}{opening}"]
    for name, value in items:
        comma = "" if len(items) == 1 and isinstance(value, List) and not fits(indent + INDENT + flat(value)) else ","
        found += _lines(value, indent + INDENT, _before(name), comma)
    return [*found, f"{indent}{closing}{after}"]


def _split(text: str, indent: str, before: str, after: str) -> list[str]:
    """A text in parentheses, in as many literals as it needs; nothing where ruff might join them, or there is nothing to split."""
    inner = indent + INDENT
    parts = [inner + literal(text)]
    if _overflows(parts[0]):
        parts = [inner + literal(part) for part in _parts(text, inner)]
        if len(parts) == 1:
            return []
    elif not fits(parts[0]) or not _overflows(f"{indent}{before}({literal(text)}){after}"):
        return []
    return [f"{indent}{before}(", *parts, f"{indent}){after}"]


def _parts(text: str, indent: str) -> list[str]:
    """The text in parts that fit on a line each, split behind spaces and line ends."""
    found = [""]
    for word in _words(text):
        if found[-1] and (found[-1].endswith("\n") or not fits(indent + literal(found[-1] + word))):
            found.append("")
        found[-1] += word
    return found


def _words(text: str) -> list[str]:
    """The words of a text, each with the spaces or line ends behind it."""
    found = [""]
    for each in text:
        if found[-1] and found[-1][-1] in " \n" and each not in " \n":
            found.append("")
        found[-1] += each
    return found
