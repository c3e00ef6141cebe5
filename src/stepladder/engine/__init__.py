"""The engines that train a network.

Their seam is `build(network, dropout, generator)`: it takes a network, the share of activations dropped and the generator
of the dropout stream, and returns a torch module from float batches (n, channels, height, width) to logits (n, classes).
This module itself imports no torch.
"""

NUMERICS = {"torch": 1}
"""The engines there are, with the version of their numerics: raised when the same recipe no longer gives the same bits."""


def identity(engine: str, device: str) -> str:
    """What of an engine decides the bits of a run: its name, numerics version and, off the CPU, its device."""
    return f"{engine}-{NUMERICS[engine]}" + ("" if device == "cpu" else f"-{device}")
