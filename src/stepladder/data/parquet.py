"""Reads parquet as Hugging Face keeps data sets of images (https://huggingface.co/docs/hub/datasets-image): pyarrow, an extra."""

import json
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepladder.data import pictures
from stepladder.data.folders import PARTS
from stepladder.data.found import MOST_CLASSES, DataError, Found, Part

LABELS = ("label", "labels", "fine_label", "class", "target", "y")
"""What a column of labels is called, the first that there is; any other name where it is the only one of whole numbers."""

_SHARD = re.compile(r"-([0-9]+)-of-([0-9]+)")
_ROWS = 64
_BUFFER = 1 << 20


class _Columns(NamedTuple):
    image: str
    label: str
    names: tuple[str, ...] | None
    others: tuple[str, ...]


def read(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> Found | None:
    """What parquet files hold: one file, which is for training, or those of a folder, of its folder `data` or of its folders of
    parts (`train-00000-of-00001.parquet`, `train/0000.parquet`). None where there are none.

    A row has a picture, as the bytes of its file ({bytes, path}), and a label; class names are those of Hugging Face's features in
    the schema. A few rows at a time are decoded, as `pictures.decoded` does it, to `size` (height, width) and channels.

    Raises DataError, and nothing else; also where pyarrow is missing, or a shard.
    """
    try:
        files, remarks = _files(path)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not files:
        return None
    if "train" not in files:
        raise DataError(f"{path}: found no parquet for training, expected a file whose name begins with train")
    columns = _columns(files["train"][0])
    if columns.others:
        remarks.append(f"passed over columns: {', '.join(columns.others)}")
    return _read(files, columns, size, channels, remarks)


def _files(path: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each part, and what was passed over."""
    if path.is_file():
        return ({"train": [path]} if path.suffix.lower() == ".parquet" else {}), []
    if not path.is_dir():
        return {}, []
    parts, unnamed = dict[str, list[Path]](), list[Path]()
    inside = [folder for folder in sorted(path.iterdir()) if folder.name.lower() in PARTS and folder.is_dir()]
    for file in _within(path) or _within(path / "data") or [file for folder in inside for file in _within(folder)]:
        said = [file.parent.name.lower()] if file.parent in inside else re.split(r"[^a-z]+", file.stem.lower())
        part = next((PARTS[word] for word in said if word in PARTS), None)
        (parts.setdefault(part, []) if part else unnamed).append(file)
    if not parts and unnamed:
        return {"train": unnamed}, []
    for shards in parts.values():
        _check_shards(shards)
    names = ", ".join(file.name for file in unnamed[:3]) + (f" and {len(unnamed) - 3:,} more" if len(unnamed) > 3 else "")
    return parts, [f"passed over files of no part: {names}"] if unnamed else []


def _within(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def _check_shards(files: Sequence[Path]) -> None:
    """Raise DataError where the names count more files than there are."""
    held = dict[tuple[Path, str], set[int]]()
    for file in files:
        if shard := _SHARD.search(file.name):
            held.setdefault((file.with_name(file.name[: shard.start()]), shard[2]), set()).add(int(shard[1]))
    for (start, total), numbers in held.items():
        missing = next(k for k in range(len(numbers) + 1) if k not in numbers)
        if missing < int(total):
            name = f"{start}-{missing:0{len(total)}}-of-{total}.parquet"
            raise DataError(f"{name}: file not found, expected {int(total):,} files, as the names of the others say")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file as pyarrow has it; whatever is raised within is DataError, and names it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{path}: parquet is read by pyarrow, which is not installed: pip install 'stepladder[parquet]'") from None
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{path}: cannot be read: not a regular file")
        # Neither read ahead nor by threads: both would hold whole groups of rows, which may be as large as the file.
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield file
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{path}: cannot be read: not enough memory for what it claims") from None
    except Exception as error:  # pyarrow's own, which are also OSError, ValueError, KeyError, ...
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{path}: cannot be read: {said.splitlines()[0]}") from None


def _columns(path: Path) -> _Columns:
    """Which columns of a file are images and labels."""
    with _opened(path) as file:
        schema = file.schema_arrow
        features = _features((schema.metadata or {}).get(b"huggingface", b""))
        types = {field.name: str(field.type) for field in schema}
    images = [name for name, kind in types.items() if re.match(r"struct<.*\bbytes: (large_)?binary\b", kind)]
    images = images or [name for name, kind in types.items() if kind in ("binary", "large_binary")]
    numbers = [name for name, kind in types.items() if re.fullmatch(r"u?int(8|16|32|64)", kind)]
    labels = [name for name in LABELS if name in numbers][:1] or numbers
    if len(images) != 1 or len(labels) != 1:
        found = ", ".join(f"{name} ({kind})" for name, kind in types.items()) or "none"
        raise DataError(f"{path}: found columns {found}, expected one of images ({{bytes, path}}) and one of labels (label, int64)")
    names = features.get(labels[0], {}).get("names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        names = None
    if names and len(names) > MOST_CLASSES:
        raise DataError(f"{path}: found {len(names):,} names of classes, expected {MOST_CLASSES} at most")
    others = tuple(name for name in types if name not in (images[0], labels[0]))
    return _Columns(images[0], labels[0], tuple(names) if names else None, others)


def _features(metadata: bytes) -> dict[str, dict[str, Any]]:
    """Hugging Face's description of each column; none where it has another form."""
    try:
        features = json.loads(metadata)["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _read(
    files: dict[str, list[Path]], columns: _Columns, size: tuple[int, int] | None, channels: int | None, remarks: list[str]
) -> Found:
    labels = dict[str, list[NDArray[np.int64]]]()
    for part in ("train", "test", "validation"):
        here = [_labels(file, columns) for file in files.get(part, [])]
        if part != "train" and any(map(len, here)) and all((found == -1).all() for found in here):
            remarks.append(f"passed over the {part} part, whose labels are all -1: it has none")
        elif here:
            labels[part] = here
            _check_range(files[part], here, columns)
    held = [(file, len(found)) for part, here in labels.items() for file, found in zip(files[part], here, strict=True)]
    for part, here in labels.items():
        if not sum(len(found) for found in here):
            raise DataError(f"{files[part][0]}: found no rows for the {part} part, expected at least one")
    rows = (row for file, count in held for row in _rows(file, count, columns.image))
    images = pictures.decoded(rows, sum(count for _, count in held), size, channels)
    parts, start = dict[str, Part](), 0
    for part, here in labels.items():
        joined = np.concatenate(here).astype(np.uint8)
        parts[part] = Part(images[start : start + len(joined)], joined)
        start += len(joined)
    return Found("parquet", parts["train"], parts.get("test"), parts.get("validation"), columns.names, tuple(remarks))


def _labels(path: Path, columns: _Columns) -> NDArray[np.int64]:
    """All labels of a file, which are no more than the file has bytes."""
    with _opened(path) as file:
        types = {field.name: str(field.type) for field in file.schema_arrow}
        if missing := [name for name in (columns.image, columns.label) if name not in types]:
            raise DataError(f"{path}: found columns {', '.join(types)}, expected {missing[0]} as in the first file")
        rows, held = file.metadata.num_rows, path.stat().st_size
        if rows > held:
            raise DataError(f"{path}: claims {rows:,} rows, found {held:,} bytes")
        found = [np.empty(0, np.int64)]
        for batch in file.iter_batches(1 << 16, columns=[columns.label]):
            column = batch.column(0)
            if column.null_count:
                row = sum(len(one) for one in found) + column.is_null().to_pylist().index(True)
                raise DataError(f"{path}: row {row} has no label, expected a number in {columns.label}")
            found.append(column.to_numpy(zero_copy_only=False).astype(np.int64))
            if sum(len(one) for one in found) > rows:
                raise DataError(f"{path}: found more labels than rows ({rows:,})")
        return np.concatenate(found)


def _check_range(files: Sequence[Path], labels: Sequence[NDArray[np.int64]], columns: _Columns) -> None:
    most = len(columns.names or ()) or MOST_CLASSES
    for file, found in zip(files, labels, strict=True):
        if len(wrong := np.flatnonzero((found < 0) | (found >= most))):
            raise DataError(
                f"{file}: label out of range: {columns.label} of row {wrong[0]} is {found[wrong[0]]}, "
                f"expected 0 to {most - 1} ({most} classes{'' if columns.names else ' at most'})"
            )


def _rows(path: Path, count: int, column: str) -> Iterator[tuple[str, bytes]]:
    """The name and the picture of each row, as many as there are labels."""
    row = 0
    with _opened(path) as file:
        for batch in file.iter_batches(_ROWS, columns=[column], use_threads=False):
            for value in batch.column(0).to_pylist():
                raw = value.get("bytes") if isinstance(value, dict) else value
                if not isinstance(raw, bytes):
                    said = f", only the path {value['path']}" if isinstance(value, dict) and value.get("path") else ""
                    raise DataError(f"{path}: row {row}: found no bytes of a picture under {column}{said}")
                if row == count:
                    raise DataError(f"{path}: found more pictures than labels ({count:,})")
                yield f"{path}: row {row}", raw
                row += 1
    if row != count:
        raise DataError(f"{path}: found {row:,} pictures, expected {count:,}, one for each label")
