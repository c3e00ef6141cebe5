"""The engines that train a network, and what they can do.

Their seam is three functions. `use_threads(count)` says how many threads this process trains on from now on.
`build(network, dropout, generator)` takes a network, the share of activations dropped and the generator of the dropout
stream, and returns a torch module from float batches (n, channels, height, width) to logits (n, classes).
`batch(images, chosen, maps, mean, std)` makes such batches of levels. (The native one also does all of a training step in one call,
where it `runs` the model: its `updater`.) This module itself imports no torch, but to look for a GPU.
"""

from stepladder.engine.kernels import lower
from stepladder.spec import Network, UserError, shown

NUMERICS = {"native": 3, "torch": 1}
"""The engines there are, with the version of their numerics: raised when the same recipe no longer gives the same bits."""
ON_GPU = 2
"""That of torch on a GPU."""

DEVICES = ("cpu", "cuda")
MOST_THREADS = 1_024


def identity(engine: str, device: str) -> str:
    """What of an engine decides the bits of a run: its name, numerics version and, off the CPU, its device.

    Raises UserError for an engine that there is not.
    """
    if not isinstance(engine, str) or engine not in NUMERICS:
        raise UserError(f"unknown engine {shown(engine)}: expected {' or '.join(NUMERICS)}")
    return f"{engine}-{NUMERICS[engine]}" if device == "cpu" else f"{engine}-{ON_GPU}-{device}"


def check(engine: str, device: str, threads: int = 1) -> None:
    """Raise UserError unless there is such an engine, on such a device, here, and it can run on so many threads."""
    identity(engine, "cpu")
    if device not in DEVICES:
        raise UserError(f"unknown device {shown(device)}: expected {' or '.join(DEVICES)}")
    if engine == "native" and device != "cpu":
        raise UserError(f'the native engine runs on cpu, not on {device}: choose engine="torch"')
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise UserError(f"threads is {shown(threads)}, expected a whole number from 1 to {MOST_THREADS:,}")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError(f'torch {torch.__version__} finds no GPU here: choose device="cpu"')


def refusal(network: Network, engine: str) -> str | None:
    """Why an engine cannot train a network, naming the layer; None where it can. (engine="torch" can train all there are.)"""
    try:
        if engine == "native":
            lower(network)
    except UserError as error:
        return str(error)
    return None
