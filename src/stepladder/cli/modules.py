"""`stepladder show FILE.py:MyNet`: a torch module without a ladder."""

import copy
import json
from pathlib import Path
from typing import Any

from torch import nn

from stepladder import ladders, networks
from stepladder.anatomy import to_data
from stepladder.cli import tables
from stepladder.networks import Module
from stepladder.page import words
from stepladder.spec import SpecError, UserError
from stepladder.tracing import trace


def show(name: str, input: tuple[int, ...], as_json: bool, as_layers: bool) -> None:
    """Print the layer table of a module, as data or not, with what trains it; or its network in the layer language, to paste."""
    path, _, own = name.rpartition(":")
    found = ladders.read(Path(path), own)
    if found is None:
        raise UserError(f"{path}: it defines no {own!r}, expected a torch.nn.Module, its class or a function that makes one")
    make = (lambda: copy.deepcopy(found)) if isinstance(found, nn.Module) else found
    if not callable(make):
        raise UserError(
            f"{path}: {own} is {type(found).__name__}, expected a torch.nn.Module, its class or a function that makes one"
        )
    channels, height, width = input
    network, fault = _read(make, (channels, height, width))
    if as_layers:
        if network is None:
            raise UserError(fault)
        print(words.in_layers(network))
        return
    rows = list(network.rows) if network else trace(make(), (channels, height, width))
    told = networks.told(network, "native") if network else fault
    if as_json:
        print(json.dumps({"module": own, "trainer": told, **to_data(rows)}, indent=1))
    else:
        then = [", ".join(words.then(after)) for after in networks.then(network)] if network else ()
        tables.rows(f"{own}, images of {' x '.join(map(str, input))}", rows, then)
        print(told)


def _read(make: Any, input: tuple[int, int, int]) -> tuple[Module | None, str]:
    """The module, or why it cannot be a step's network."""
    try:
        return networks.read(make, input), ""
    except SpecError as error:
        return None, f"it cannot be the network of a step ({error})"
