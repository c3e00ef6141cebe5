"""Random streams that are named, never global.

A stream is a fresh generator made from the run's seed, the stream's name and where it stands (a layer, an epoch).
So a stream never depends on what another one drew, measuring consumes none, and a continued run needs no stored state.
"""

import hashlib

import torch


def stream(seed: int, *name: str | int, device: str = "cpu") -> torch.Generator:
    """The generator of this seed and name, in its first state."""
    return torch.Generator(device).manual_seed(stream_seed(seed, *name))


def stream_seed(seed: int, *name: str | int) -> int:
    """63 bits from the SHA-256 of seed and name, so that no two streams are shifted copies of each other."""
    digest = hashlib.sha256(repr((seed, *name)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
