"""The engines that train a network.

Their seam is three functions. `use_threads(count)` says how many threads this process trains on from now on.
`build(network, dropout, generator)` takes a network, the share of activations dropped and the generator of the dropout
stream, and returns a torch module from float batches (n, channels, height, width) to logits (n, classes).
`batch(images, chosen, maps, mean, std)` makes such batches. This module itself imports no torch.
"""

from stepladder.spec import UserError

NUMERICS = {"native": 2, "torch": 1}
"""The engines there are, with the version of their numerics: raised when the same recipe no longer gives the same bits."""


def identity(engine: str, device: str) -> str:
    """What of an engine decides the bits of a run: its name, numerics version and, off the CPU, its device.

    Raises UserError for an engine that there is not.
    """
    if engine not in NUMERICS:
        raise UserError(f"unknown engine {engine!r}: expected {' or '.join(NUMERICS)}")
    return f"{engine}-{NUMERICS[engine]}" + ("" if device == "cpu" else f"-{device}")
