"""The layer table of any torch module, and the calls that it is read from.

A module's forward runs once without numbers (`recording`), which leaves a list of calls (`call`). What each position sees of
the image is followed from call to call (`fields`, `layout`, `values`; by kinds of functions `windows`, `moves`, `products`),
and layers become rows (`rows`).
"""

from torch import nn

from stepladder.anatomy import Row
from stepladder.tracing.call import BATCH, Call, Made, TraceError
from stepladder.tracing.given import unwrapped
from stepladder.tracing.recording import Recording, calls, record
from stepladder.tracing.rows import read

__all__ = ["BATCH", "Call", "Made", "Recording", "TraceError", "calls", "record", "trace", "unwrapped"]


def trace(module: nn.Module, input: tuple[int, int, int]) -> list[Row]:
    """One row per layer of a module that takes images of `input` (channels, height, width), in the order of its calls.

    The rows' parameters add up to the module's; shared ones count where they are used first, and those that forward never
    uses have rows that say so, of fields of 0. Of the inputs of a join (add, mul, cat) the largest is shown. A receptive
    field is that of a position away from the borders, the widest where positions differ, without the statistics of norms;
    `padding` is the one before the first pixel. The module stays as it is, and no random numbers are used up. Raises
    TraceError.
    """
    return read(unwrapped(module), calls(module, input))
