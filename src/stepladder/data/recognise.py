"""What lies at a path."""

from pathlib import Path

from stepladder.data.found import DataError, Found, Part
from stepladder.data.idx import read_idx

_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found:
    """What lies there."""
    folder = path
    paths = [_find(folder, name) for name in _NAMES]
    arrays = [read_idx(path, dimensions=3 if "idx3" in path.name else 1) for path in paths]
    for images, labels, part in ((0, 1, "training"), (2, 3, "test")):
        if len(arrays[images]) != len(arrays[labels]):
            raise DataError(
                f"{paths[labels]}: found {len(arrays[labels])} labels, expected {len(arrays[images])}, "
                f"one for each {part} image in {paths[images].name}"
            )
        if not len(arrays[images]):
            raise DataError(f"{paths[images]}: found no {part} images, expected at least one")
    if arrays[0].shape[1:] != arrays[2].shape[1:]:
        sizes = [" x ".join(map(str, arrays[k].shape[1:])) for k in (2, 0)]
        raise DataError(f"{paths[2]}: its images are {sizes[0]}, expected {sizes[1]} as in {paths[0].name}")
    return Found("IDX", Part(arrays[0][:, None], arrays[1]), Part(arrays[2][:, None], arrays[3]))


def _find(folder: Path, name: str) -> Path:
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder, expected one with {', '.join(_NAMES)} (plain or .gz)")
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
    except OSError as error:  # a folder that may not be entered, or a name that is too long
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    raise DataError(f"{folder / name}: file not found, expected it plain or as {name}.gz")
