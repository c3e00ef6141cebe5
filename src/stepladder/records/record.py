"""What `run.json` holds: its fields, how they are written and read, and what must be true of them together."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, MsgspecError
from msgspec.json import Decoder
from numpy.typing import NDArray

from stepladder.spec import UserError, to_data
from stepladder.steps import Step

SCHEMA: Final = 2
"""Of the records that are written. Those of schema 1 are read as well, and lack the fields that are None in them."""

Array = NDArray[Any]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(ge=0)]
Fingerprint = Annotated[str, Meta(pattern=r"\A[0-9a-f]{12}\Z")]
Status = Literal["finished", "diverged"]
_SEAL = b',\n "sha256": "'


class RecordError(UserError):
    """A record that cannot be used: the message names the file, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of a run. Accuracies are fractions; losses are means over images; training figures are as seen while
    training, with augmentation, dropout and label smoothing; test figures are those of the averaged weights where the
    recipe has an average, and those of the validation images in a run with a holdout. `learning_rate` is that of the
    epoch's last batch."""

    epoch: Count
    learning_rate: Positive
    train_loss: Positive
    train_accuracy: Share
    test_loss: Positive
    test_accuracy: Share
    test_correct: Count
    seconds: Positive


@dataclass(frozen=True)
class Normalisation:
    """What is taken off each channel of grey or colour levels (as fractions of 255), and what the rest is divided by."""

    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class Source:
    """What a run was trained and judged on: the `kind` of its source ("mnist" is the embedded one), the `path` as it was given,
    and how many images each part has. With a `holdout` the test images are so many of the training images, those of the `fold`
    (which run.json leaves out where it is 0); `split` is the share of images that were made the test part, `size` (height,
    width) what they were resized to and `channels` what they were converted to, where that was asked for."""

    kind: str
    path: str | None
    holdout: Count
    train: Count
    test: Count
    split: Share = 0.0
    size: tuple[int, int] | None = None
    channels: int | None = None
    fold: Count = 0


@dataclass(frozen=True)
class Record:
    """What `run.json` holds. `status` is `finished` or `diverged` (then the history ends before the epoch whose loss
    was not finite, and there is no confusion matrix). Rows of `confusion` are labels, columns answers.

    `network` and `recipe` are values as data: `spec.from_data` makes them values again. From `engine` (its identity, as the
    fingerprint takes it) on, records of schema 1 have None. `input` is (channels, height, width).
    """

    schema: Literal[1, 2]
    ladder: str
    step: str
    title: str
    seed: Count
    fingerprint: Fingerprint
    status: Status
    parameters: Count
    epochs: Annotated[int, Meta(ge=1, le=2**53)]
    history: list[Epoch]
    confusion: list[list[Count]] | None
    weights_sha256: str
    environment: dict[str, Any]
    network: dict[str, Any]
    recipe: dict[str, Any]
    data_sha256: str
    engine: str | None = None
    input: tuple[int, int, int] | None = None
    classes: list[str] | None = None
    normalisation: Normalisation | None = None
    data: Source | None = None
    logits_sha256: str | None = None


_DECODER = Decoder(Record)
_ENVIRONMENT: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("date", "engine", "device", "processor", "torch", "commit"), (str, NoneType)),
    **dict.fromkeys(("threads", "holdout"), (int, NoneType)),
}
"""What of an environment is read again, and what it must be where it is there."""


def fingerprint(step: Step, data_digest: str, engine: str) -> str:
    """12 hex digits of the SHA-256 over all that decides a step's numbers, but the seed."""
    return _fingerprint(to_data(step.network), to_data(step.recipe), data_digest, engine)


def encode(record: Record) -> bytes:
    """The record as JSON with a line for each field, each epoch and each row of the confusion matrix, for people who open it.

    The last line is the SHA-256 of all bytes before it.
    """

    def value(name: str, found: Any) -> str:
        if name in ("history", "confusion") and found:
            return "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in found) + "\n ]"
        return json.dumps(found, allow_nan=False)

    fields = asdict(record)
    if record.data and not record.data.fold:
        del fields["data"]["fold"]
    body = ("{\n" + ",\n".join(f' "{name}": {value(name, found)}' for name, found in fields.items())).encode()
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def decode(raw: bytes) -> Record:
    """The record of these bytes; raises ValueError where they are not one, or contradict themselves, with the reason."""
    try:
        record = _DECODER.decode(raw)
        fault = next(_faults(record), None)
    except MsgspecError as error:
        raise ValueError(f"no record of schema 1 to {SCHEMA}: {_printable(str(error))}") from None
    except (RecursionError, UnicodeError) as error:
        raise ValueError(f"no record: {type(error).__name__}") from None
    if record.schema > 1:
        body, _, seal = raw.rpartition(_SEAL)
        if seal != hashlib.sha256(body).hexdigest().encode() + b'"\n}\n':
            raise ValueError("its bytes do not have the SHA-256 that its last line gives: it was changed or damaged")
    if fault:
        raise ValueError(_printable(fault))
    return record


def decode_again(raw: bytes) -> Record:
    """The record of bytes that `decode` has found to be one before."""
    return _DECODER.decode(raw)


def lacks(record: Record) -> list[str]:
    """What a record of an earlier schema does not say of how its network is used."""
    return [name for name in ("input", "classes", "normalisation", "data") if getattr(record, name) is None]


def accuracy_fault(history: Sequence[Epoch], images: int) -> str | None:
    """The first epoch whose accuracy is not that of its right answers among so many test images."""
    for epoch in history:
        if epoch.test_correct > images or abs(epoch.test_accuracy - epoch.test_correct / images) > 1e-9:
            return (
                f"epoch {epoch.epoch} has the test accuracy {epoch.test_accuracy}, "
                f"expected {epoch.test_correct} right answers / {images} test images"
            )
    return None


def _printable(text: str) -> str:
    """On one line, and nothing that a terminal would obey: what is told of a record may be a part of it."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _faults(record: Record) -> Iterator[str]:
    """What contradicts something else in a record, a sentence each."""
    for name, kinds in _ENVIRONMENT.items():
        if not isinstance(record.environment.get(name), kinds):
            yield f"its environment has {record.environment[name]!r} as {name}, expected {kinds[0].__name__}"
    done = [epoch.epoch for epoch in record.history]
    if done != list(range(1, len(done) + 1)):
        yield f"its history has the epochs {done}, expected each once, from 1 on"
    if (record.status == "finished") != (len(done) == record.epochs):
        yield f"it has {record.status}, with {len(done)} of {record.epochs} epochs in its history"
    if (record.status == "finished") != (record.confusion is not None):
        yield f"it has {record.status}, with {'no' if record.confusion is None else 'a'} confusion matrix"
    if record.confusion is not None:
        yield from _confusion_faults(record, record.confusion)
    if record.schema > 1:
        yield from _use_faults(record)
    identities = _identities(record)
    if identities and record.fingerprint not in (
        _fingerprint(record.network, record.recipe, record.data_sha256, identity) for identity in identities
    ):
        yield f"its fingerprint is {record.fingerprint}, which is not that of its network, recipe, data and engine"


def _use_faults(record: Record) -> Iterator[str]:
    """What is missing or wrong of that which is needed to use the network elsewhere."""
    if record.engine is None or not (record.input and record.classes and record.normalisation and record.data):
        yield "its engine, input, classes, normalisation or data is missing, expected all of them in schema 2"
        return
    if list(record.input) != record.network.get("input"):
        yield f"its input is {list(record.input)}, that of its network {record.network.get('input')}"
    if len(record.classes) != record.network.get("classes"):
        yield f"it names {len(record.classes)} classes, its network has {record.network.get('classes')}"
    if record.data.fold and not record.data.holdout:
        yield f"it was judged on fold {record.data.fold} of a holdout of no images"
    mean, std = record.normalisation.mean, record.normalisation.std
    if len(mean) != record.input[0] or len(std) != record.input[0] or min(std) <= 0:
        yield f"its normalisation has the means {mean} and deviations {std}, expected one above 0 for each channel"
    if record.confusion is not None and record.data.test != int(np.sum(record.confusion)):
        yield f"it was judged on {record.data.test} images, its confusion matrix counts {int(np.sum(record.confusion))}"
    if (record.status == "finished") != (record.logits_sha256 is not None):
        yield "the hash of its logits is missing" if record.status == "finished" else "it has diverged, with a hash of logits"


def _confusion_faults(record: Record, confusion: list[list[int]]) -> Iterator[str]:
    sides = {len(confusion), *map(len, confusion)}
    if len(sides) > 1 or not confusion:
        yield "its confusion matrix is not square"
        return
    images, right = int(np.sum(confusion)), int(np.trace(confusion))
    if not images or right != record.history[-1].test_correct:
        yield f"its confusion matrix has {right} right answers, its last epoch {record.history[-1].test_correct}"
        return
    if fault := accuracy_fault(record.history, images):
        yield fault


def _identities(record: Record) -> list[str]:
    """The engine as the fingerprint took it. Schema 1 has not written down the version of the numerics: those there were."""
    if record.engine is not None:
        return [record.engine]
    name, device = record.environment.get("engine"), record.environment.get("device")
    return [f"{name}-{version}" + ("" if device == "cpu" else f"-{device}") for version in (1, 2)] if name else []


def _fingerprint(network: Any, recipe: Any, data_digest: str, engine: str) -> str:
    decides = {"network": network, "recipe": recipe, "data": data_digest, "engine": engine}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
