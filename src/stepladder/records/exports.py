"""The model cards of exports that lie beside the runs, as far as a report tells of them."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

LARGEST = 1 << 20
"""No card is so long (in bytes)."""


class Exports(NamedTuple):
    """The cards that were found, by the names of their folders: `fingerprint` and `weights_sha256` of the run that was taken out,
    and what is `told` of it; and why each that could not be read was passed over, a sentence each."""

    cards: list[dict[str, Any]]
    unread: list[str]


def exports(runs: Path) -> Exports:
    """Of every export one level below the folder of runs; what is no card, or a damaged one, is passed over."""
    found, unread = list[dict[str, Any]](), list[str]()
    for path in sorted(runs.glob("*/model-card.json")):
        try:
            with path.open("rb") as file:
                raw = file.read(LARGEST + 1)
        except OSError as error:
            unread.append(f"{path}: cannot be read: {error.strerror}")
            continue
        try:
            card = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if card := _told(card):
            found.append(card)
    return Exports(found, unread)


def _told(card: Any) -> dict[str, Any] | None:
    """What a report tells of a card; None where it is none."""
    if not isinstance(card, dict):
        return None
    answers, figures, measured = card.get("answers"), card.get("figures"), card.get("measured", "")
    if not (isinstance(answers, dict) and isinstance(figures, dict) and isinstance(measured, str) and len(measured) < 1_000):
        return None
    names = [card.get(name) for name in ("fingerprint", "weights_sha256", "to")]
    counts = [card.get("seed"), answers.get("images"), answers.get("equal"), *figures.values()]
    if not (
        all(isinstance(name, str) and re.fullmatch("[a-z0-9]{1,64}", name) for name in names)
        and all(type(count) is int and 0 <= count < 1 << 53 for count in counts)
        and all(re.fullmatch("[a-z_]{1,40}", name) for name in figures)
        and type(card.get("int8")) is bool
    ):
        return None
    told = {
        **{name: card[name] for name in ("to", "int8", "seed")},
        **{name: answers[name] for name in ("images", "equal")},
        "figures": figures,
    }
    return {
        "fingerprint": card["fingerprint"],
        "weights_sha256": card["weights_sha256"],
        "told": told | ({"measured": measured} if measured else {}),
    }
