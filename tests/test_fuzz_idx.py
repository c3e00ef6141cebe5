"""Damaged IDX files, plain and gzipped, alone and in folders: a reader gives what the bytes say, or raises DataError."""

import gzip
import hashlib
import shutil
import struct
import zlib
from math import isfinite, prod
from pathlib import Path

import numpy as np
from conftest import IDX_NAMES, fuzzed, idx_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from stepladder import data
from stepladder.data import DataError, with_classes
from stepladder.data.idx import read_idx

NUMBERS = st.sampled_from([0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes after up to three cuts, changes, insertions, repetitions or new numbers in the header."""
    for _ in range(draw(st.integers(0, 3))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
        match draw(st.sampled_from(["flip", "number", "cut", "end", "insert", "repeat", "zeros"])):
            case "flip" if at < len(raw):
                raw = raw[:at] + bytes([raw[at] ^ 1 << draw(st.integers(0, 7))]) + raw[at + 1 :]
            case "number":
                place = 4 * draw(st.integers(0, 3))
                raw = raw[:place] + struct.pack(">I", draw(NUMBERS)) + raw[place + 4 :]
            case "cut":
                raw = raw[:at] + raw[end:]
            case "end":
                raw = raw[:at]
            case "insert":
                raw = raw[:at] + draw(st.binary(max_size=20)) + raw[at:]
            case "repeat":
                raw = raw[:end] + raw[at:]
            case "zeros":
                raw += bytes(draw(st.sampled_from([1, 100, 70_000])))
    return raw


@st.composite
def files(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes as a file that may be damaged: plain, or as one or several gzip members, damaged before or after."""
    raw = draw(damaged(raw))
    if draw(st.booleans()):
        return raw
    cut = draw(st.integers(0, len(raw)))
    level = draw(st.sampled_from([0, 1, 9]))
    members = [raw] if draw(st.booleans()) else [raw[:cut], raw[cut:]]
    return draw(damaged(b"".join(gzip.compress(member, level, mtime=0) for member in members)))


def said(raw: bytes, dimensions: int) -> bytes | None:
    """The IDX file that a file holds, all of it; None where it is not one."""
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error):
        return None
    header = 4 + 4 * dimensions
    if raw[:4] != struct.pack(">I", 0x0800 + dimensions) or len(raw) < header:
        return None
    return raw if len(raw) - header == prod(struct.unpack_from(f">{dimensions}I", raw, 4)) else None


def images() -> st.SearchStrategy[NDArray[np.uint8]]:
    return arrays.arrays(np.uint8, st.tuples(*[st.integers(0, 4)] * 3))


@fuzzed(300)
@given(drawn=st.data(), array=images() | arrays.arrays(np.uint8, st.tuples(st.integers(0, 9))))
def test_a_file_is_read_as_it_is_or_refused(tmp_path: Path, drawn: st.DataObject, array: NDArray[np.uint8]) -> None:
    raw = drawn.draw(files(idx_bytes(array)))
    (tmp_path / "file").write_bytes(raw)
    expected = said(raw, array.ndim)
    try:
        found = read_idx(tmp_path / "file", array.ndim)
    except DataError:
        # No array has a shape like 4294967295 x 0 x 4294967295, which says of no bytes how they are arranged.
        assert expected is None or len(expected) == 4 + 4 * array.ndim
    else:
        assert idx_bytes(found) == expected
        assert found.flags.writeable


@st.composite
def folders(draw: st.DrawFn, folder: Path) -> list[NDArray[np.uint8]] | None:
    """Writes a folder; gives its four arrays where nothing was damaged."""
    size, largest, whole = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.integers(0, 12)), True
    written = []
    for _ in ("training", "test"):
        count = draw(st.integers(0, 3))
        pixels = draw(arrays.arrays(np.uint8, (count, *size)))
        labels = draw(arrays.arrays(np.uint8, count + draw(st.sampled_from([0, 0, 0, 1])), elements=st.integers(0, largest)))
        written += [pixels, labels]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, array in zip(IDX_NAMES, written, strict=True):
        raw, kind = idx_bytes(array), draw(st.sampled_from([*["whole"] * 5, "damaged", "absent", "folder", "both"]))
        path = folder / (f"{name}.gz" if draw(st.booleans()) else name)
        whole = whole and kind in ("whole", "both")
        match kind:
            case "whole":
                path.write_bytes(raw)
            case "damaged":
                path.write_bytes(draw(files(raw)))
            case "folder":
                path.mkdir()
            case "both":
                (folder / name).write_bytes(raw)
                (folder / f"{name}.gz").write_bytes(draw(files(raw)))
    return written if whole else None


def usable(written: list[NDArray[np.uint8]], classes: int) -> bool:
    """Whether a network of so many classes can be trained on these."""
    parts = [written[:2], written[2:]]
    return len(np.unique(written[0])) > 1 and all(0 < len(x) == len(y) and y.max() < classes for x, y in parts)


def digest(found: data.Dataset) -> str:
    parts = (found.train_images[:, 0], found.train_labels, found.test_images[:, 0], found.test_labels)
    return hashlib.sha256(b"".join(repr(part.shape).encode() + part.tobytes() for part in parts)).hexdigest()


@fuzzed(200)
@given(drawn=st.data(), classes=st.integers(1, 12))
def test_a_folder_is_loaded_as_it_is_or_refused(tmp_path: Path, drawn: st.DataObject, classes: int) -> None:
    written = drawn.draw(folders(tmp_path / "data"))
    try:
        found = with_classes(data.load.__wrapped__(tmp_path / "data"), classes)  # without its memory of earlier folders
        (mean,), (deviation,) = found.normalisation()
    except DataError:
        assert written is None or not usable(written, classes)
        return
    assert len(found.train_images) == len(found.train_labels) > 0
    assert len(found.test_images) == len(found.test_labels) > 0
    assert found.train_images.shape[1:] == found.test_images.shape[1:]
    assert max(found.train_labels.max(), found.test_labels.max()) < classes
    assert found.digest == digest(found)
    assert isfinite(mean)
    assert deviation > 0
    if written:
        parts = (found.train_images[:, 0], found.train_labels, found.test_images[:, 0], found.test_labels)
        for part, array in zip(parts, written, strict=True):
            np.testing.assert_array_equal(part, array, strict=True)
