"""One recorded run, taken in hand again: its figures, its network with its weights, and how images are made ready for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stepladder import records
from stepladder.networks import Module
from stepladder.records import Epoch, Record, RecordError
from stepladder.spec import Network, SpecError, UserError, from_data

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stepladder.inference.program import Program

BATCH = 1_000
"""So many images are answered at a time."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run's `record` and the `folder` it lies in; the `network` of its step, without which a module cannot be built."""

    folder: Path
    record: Record
    network: Network | Module | None = None

    @property
    def seed(self) -> int:
        """What its weights, the order of its images and its draws were made from."""
        return self.record.seed

    @property
    def history(self) -> list[Epoch]:
        """Its epochs."""
        return self.record.history

    def logits(self) -> NDArray[np.float32]:
        """What it answered after its last epoch: (test images, classes). Raises RecordError where the run diverged."""
        return records.read_logits(self.folder, self.record)

    def model(self) -> "nn.Module":
        """The trained network, in eval mode: float32 (n, channels, height, width), as `prepare` makes them, to logits
        (n, classes). One of layers as plain torch modules, without the dropout it was trained with; a module as itself.

        Raises RecordError where the weights are not those of the record, SpecError for a module that is not what it was.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        from stepladder.engine import plain
        from stepladder.networks.reading import built, check_unchanged

        raw = records.read_weights(self.folder, self.record)
        if isinstance(self.network, Module):
            check_unchanged(self.network)
        try:
            model: nn.Module
            if isinstance(self.network, Module):
                model = built(self.network.make, 0)
            else:
                model = plain.build(from_data(self.record.network), 0.0, torch.Generator())
            model.load_state_dict(load(raw))
        except (SpecError, SafetensorError, RuntimeError) as error:
            raise RecordError(f"{self.folder}: its weights do not fit its network: {error}") from None
        return model.eval()

    def program(self) -> "Program":
        """The trained network as a program for inference, which exports are written from.

        Raises RecordError where the weights are not those of the record, UserError for a module that has no equal in the layer
        language.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        from stepladder.inference.program import program, tensors

        check_complete(self)
        assert self.record.normalisation
        assert self.record.classes
        raw = records.read_weights(self.folder, self.record)
        network = self._layers()
        try:
            state = load(raw)
            if isinstance(self.network, Module) and self.network.lowered:
                state = {own: state[name] for own, name in zip(tensors(network), self.network.lowered.names, strict=True)}
            return program(network, state, self.record.classes, self.record.normalisation.mean, self.record.normalisation.std)
        except (SafetensorError, KeyError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise RecordError(f"{self.folder}: its weights do not fit its network: {error}") from None

    def _layers(self) -> Network:
        """The network in the layer language."""
        if not isinstance(self.network, Module):
            network = from_data(self.record.network)
            assert isinstance(network, Network)
            return network
        from stepladder.networks.reading import check_unchanged

        check_unchanged(self.network)
        if self.network.lowered is None:
            raise UserError(
                f"network {self.network.name} is no network of layers that could be exported: {self.network.reason}; "
                "only ONNX takes it as it is"
            )
        return self.network.lowered.network

    def probabilities(self, images: Any) -> NDArray[np.float32]:
        """What it answers: (n, classes), softmax of the logits, for images as `prepare` takes them; raises as it and `model` do."""
        import torch

        model = self.model()
        if not len(images):
            return np.empty((0, len(self.record.classes or ())), np.float32)
        with torch.inference_mode():
            logits = [model(self.prepare(images[first : first + BATCH])) for first in range(0, len(images), BATCH)]
            found: NDArray[np.float32] = torch.cat(logits).softmax(1).numpy()
        return found

    def prepare(self, images: Any) -> "Tensor":
        """Grey or colour levels as the network takes them: uint8 (n, height, width) or (n, channels, height, width), an array or
        a tensor, to float32 (n, channels, height, width), normalised as the training images were.

        Raises TypeError and ValueError for images of another kind or shape, RecordError for a record of schema 1, which does
        not say how its images were normalised.
        """
        import torch

        normalisation, shape = self.record.normalisation, self.record.input
        if normalisation is None or shape is None:
            raise RecordError(
                f"{self.folder / 'run.json'}: a record of schema {self.record.schema}, which lacks "
                f"{', '.join(records.lacks(self.record))}; expected one of schema {records.SCHEMA} to prepare images by"
            )
        if not isinstance(images, np.ndarray | torch.Tensor):
            raise TypeError(f"found {type(images).__name__}, expected an array or a tensor of images")
        levels = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(images))
        if levels.dtype is not torch.uint8:
            raise TypeError(f"found images of {levels.dtype}, expected grey or colour levels from 0 to 255: uint8")
        if levels.dim() == 3 and shape[0] == 1:
            levels = levels.unsqueeze(1)
        if levels.dim() != 4 or tuple(levels.shape[1:]) != shape:
            flat = f"(n, {shape[1]}, {shape[2]}) or " if shape[0] == 1 else ""
            raise ValueError(f"found images of shape {tuple(levels.shape)}, expected {flat}(n, {', '.join(map(str, shape))})")
        both = torch.tensor([normalisation.mean, normalisation.std], device=levels.device)
        mean, std = both[:, :, None, None]
        prepared: Tensor = (levels.float() / 255 - mean) / std
        return prepared


def check_complete(run: Run) -> None:
    """Raise RecordError for a record of schema 1, which does not say how images are made ready."""
    if missing := records.lacks(run.record):
        raise RecordError(f"{run.folder / 'run.json'}: a record of schema 1, which lacks {', '.join(missing)}")
