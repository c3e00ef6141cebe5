"""What training on a GPU needs of its own: the same bits each time, full float32, and a batch's work recorded once and then played
back, as its some hundred small kernels take longer to be asked for than to run."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

EAGER = 3
"""So many batches run before one is recorded: in the first, libraries set themselves up and the optimizer its state."""

Work = Callable[..., Tensor]
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]
"""Records work without doing it; returns what does it, and where its result then lies."""


@contextmanager
def ready() -> Iterator[None]:
    """Train on the current GPU, on a stream that can be recorded."""
    # cuBLAS gives the same bits with these buffers only (its "Results reproducibility"), and torch refuses to run it without.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    with torch.cuda.stream(torch.cuda.Stream()):
        yield


def graph(generator: torch.Generator, work: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """A CUDA graph of work on the current stream, its replay and its result; each replay draws on from the generator."""
    found = torch.cuda.CUDAGraph()
    found.register_generator_state(generator)
    with torch.cuda.graph(found, stream=torch.cuda.current_stream()):
        result = work()
    return found.replay, result


def _shapes(tensors: Sequence[Tensor | None]) -> list[torch.Size | None]:
    return [None if it is None else it.shape for it in tensors]


def played_back(work: Work, record: Record) -> Work:
    """Does `work` on tensors (or None), as it is for the first EAGER calls, then played back; of tensors of other shapes than the
    first ones, as it is."""
    calls, places = 0, list[Tensor | None]()
    play: Callable[[], object] | None = None
    result = torch.empty(0)

    def do(*given: Tensor | None) -> Tensor:
        nonlocal calls, places, play, result
        places = places or [None if it is None else it.clone() for it in given]
        alike = _shapes(given) == _shapes(places)
        calls += alike
        if not alike or calls <= EAGER:
            return work(*given)
        if play is None:
            play, result = record(lambda: work(*places))
        for place, it in zip(places, given, strict=True):
            if place is not None and it is not None:
                place.copy_(it)
        play()
        return result.clone()

    return do
