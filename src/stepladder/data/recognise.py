"""Finds out which format lies at a path, and reads it."""

from pathlib import Path

from stepladder.data import archive, cifar, folders, mnist_like, parquet, pictures, svhn, table
from stepladder.data.files import entries, reading
from stepladder.data.found import DataError, Found, Part

FORMATS = (
    "IDX files under names like MNIST's, CIFAR's batches, SVHN's .mat files, parquet files, NumPy arrays (.npz, .npy), "
    "CSV files of pixels, or a folder of pictures for each class (train/CLASS/*.png, or CLASS/*.png)"
)
_ARRAYS = (mnist_like.read, cifar.read, svhn.read, archive.read, table.read)
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_DEEPEST = 3
_SHOWN = 5


def read(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found:
    """What lies at a path, a file or a folder, or in the only folder within it that is recognised, as images of this size (height,
    width) and so many channels, or of their own.

    Raises DataError, and nothing else: for what is in no format that can be read, and as the readers do.
    """
    with reading(path):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        if found := _found(path, size, channels, _DEEPEST):
            return found
    if not path.is_dir():
        if path.suffix.lower() in _PACKED:
            raise DataError(f"{path}: found a packed file, expected what is in it: unpack it first")
        raise DataError(f"{path}: found a file of no known format, expected {FORMATS}")
    there = entries(path)
    names = [entry.name for entry in there[:_SHOWN]] + ([f"{len(there) - _SHOWN} more"] if len(there) > _SHOWN else [])
    packed = next((f"; unpack {entry.name} first" for entry in there if entry.suffix.lower() in _PACKED), "")
    raise DataError(f"{path}: found {', '.join(names) or 'nothing'}, expected {FORMATS}{packed}")


def _found(path: Path, size: tuple[int, int] | None, channels: int | None, deep: int) -> Found | None:
    for reader in _ARRAYS:
        if found := reader(path):
            return _converted(found, size, channels)
    if found := parquet.read(path, size, channels) or folders.read(path, size, channels):
        return found
    deeper = [entry for entry in entries(path) if entry.is_dir()] if deep and path.is_dir() else []
    inside: dict[str, Found] = {}
    for folder in deeper:
        if found := _found(folder, size, channels, deep - 1):
            inside[folder.name] = found
        if len(inside) > 1:
            raise DataError(f"{path}: found a data set in {' and in '.join(inside)}, expected one: give the path of one")
    return next(iter(inside.values()), None)


def _converted(found: Found, size: tuple[int, int] | None, channels: int | None) -> Found:
    made = [part and Part(pictures.converted(part.images, size, channels), part.labels) for part in (found.test, found.validation)]
    train = Part(pictures.converted(found.train.images, size, channels), found.train.labels)
    return found._replace(train=train, test=made[0], validation=made[1])
