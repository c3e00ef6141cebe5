"""Damaged archives, tables and IDX files of every type: what is read keeps the contract of readers, or DataError is raised."""

import gzip
import io
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from conftest import fuzzed
from contract import kept
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from stepladder.data import DataError
from stepladder.data.idx import TYPES
from stepladder.data.recognise import read
from stepladder.data.table import read_unlabelled

DTYPES = ["u1"] * 8 + ["i1", ">u2", "<i4", "<i8", "<f2", "<f4", ">f8", "?", "<U3", "S2", "<c8"]
TEXTS = ["", "0", "255", "256", "-1", "1.0", "0.5", "nan", "cat", '"7"', " 8 ", '"', "1e3", "é", "\0", "\r", ",", "1,2", "\n"]


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes, mostly as they are, or after up to three changes, cuts, insertions or repetitions."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
        new = draw(st.binary(max_size=6))
        change = [
            raw[:at],
            raw[:at] + raw[end:],
            raw[:end] + raw[at:],
            raw[:at] + new + raw[at:],
            raw[:at] + new + raw[at + len(new) :],
        ]
        raw = draw(st.sampled_from(change))
    return raw


def elements(dtype: str) -> st.SearchStrategy[Any]:
    """Mostly what may be a level or a class."""
    kind = np.dtype(dtype)
    few: st.SearchStrategy[Any] = st.sampled_from([0, 1, 2, 100]) if kind.kind in "iuf" else arrays.from_dtype(kind)
    return few if kind.kind in "iuf" and kind.itemsize else few | arrays.from_dtype(kind)


@st.composite
def anything(draw: st.DrawFn, first: int, sides: list[tuple[int, ...]]) -> NDArray[Any]:
    """An array of any type, usually with so many rows and of the first of these shapes."""
    dtype = draw(st.sampled_from(DTYPES))
    rare = draw(st.integers(0, 7))
    shape = (draw(st.integers(0, 5)) if rare == 7 else first, *(sides[0] if rare < 4 else draw(st.sampled_from(sides))))
    wild = arrays.from_dtype(np.dtype(dtype)) if rare == 5 else elements(dtype)
    return draw(arrays.arrays(dtype, shape, elements=wild))


IMAGES: list[tuple[int, ...]] = [(2, 3), (2, 3, 1), (2, 3, 3), (3, 2, 3), (1, 2, 3), (9,), (12,), (2, 2, 2), (0, 3), ()]
LABELS: list[tuple[int, ...]] = [(), (1,), (3,), (8,), (0,), (1, 1)]


def reads_or_refuses(path: Path) -> None:
    try:
        found = read(path)
    except DataError:
        return
    kept(found)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@fuzzed(50)
@given(drawn=st.data())
def test_archives_are_read_or_refused(tmp_path: Path, drawn: st.DataObject) -> None:
    names = drawn.draw(
        st.sampled_from([("x_train", "y_train", "x_test", "y_test"), ("images", "labels"), ("x", "y", "val_x", "val_y")])
    )
    count = drawn.draw(st.integers(1, 4))
    held = {
        name: drawn.draw(anything(count, LABELS if name[-1] in "y" or "y_" in name or "lab" in name else IMAGES)) for name in names
    }
    folder = fresh(tmp_path / "data")
    if drawn.draw(st.booleans()):
        file = io.BytesIO()
        (np.savez_compressed if drawn.draw(st.booleans()) else np.savez)(file, allow_pickle=False, **held)
        (folder / "set.npz").write_bytes(drawn.draw(damaged(file.getvalue())))
        reads_or_refuses(folder / "set.npz")
    else:
        for name, array in held.items():
            file = io.BytesIO()
            np.save(file, array)
            (folder / f"{name}.npy").write_bytes(drawn.draw(damaged(file.getvalue())))
    reads_or_refuses(folder)


@fuzzed(50)
@given(drawn=st.data())
def test_tables_are_read_or_refused(tmp_path: Path, drawn: st.DataObject) -> None:
    folder = fresh(tmp_path / "data")
    columns, header = drawn.draw(st.sampled_from([(5, []), (10, []), (10, ["label"]), (13, ["y"]), (11, ["id", "label"]), (9, [])]))
    for name in drawn.draw(st.sampled_from([["train.csv"], ["train.csv", "test.csv"], ["emnist-letters-train.csv", "b.csv"]])):
        lines = [",".join([*header, *(f"pixel{k}" for k in range(columns - len(header)))])] if header else []
        for _ in range(drawn.draw(st.integers(0, 4))):
            cells = drawn.draw(st.lists(st.integers(0, 255).map(str), min_size=columns, max_size=columns))
            if drawn.draw(st.integers(0, 7)) == 7:
                cells[drawn.draw(st.integers(0, columns - 1))] = drawn.draw(st.sampled_from(TEXTS))
            lines.append(",".join(cells))
        raw = (drawn.draw(st.sampled_from(["\n", "\r\n", "\n", "\r"])).join(lines)).encode()
        (folder / name).write_bytes(drawn.draw(damaged(raw)))
        try:
            images = read_unlabelled(folder / name)
        except DataError:
            pass
        else:
            assert images.dtype == np.uint8
            assert images.ndim == 4
            assert images.size > 0
    reads_or_refuses(folder)
    reads_or_refuses(folder / name)


@fuzzed(50)
@given(drawn=st.data())
def test_idx_files_of_every_type_are_read_or_refused(tmp_path: Path, drawn: st.DataObject) -> None:
    folder = fresh(tmp_path / "data")
    before = drawn.draw(st.sampled_from(["", "qmnist-", "emnist-letters-", "emnist-digits-"]))
    count = drawn.draw(st.integers(0, 4)) or 3
    for part in drawn.draw(st.sampled_from([["train"], ["train", "test"], ["train", "t10k", "val"]])):
        for role, shapes in (("images", [(2, 3), (2, 3), (2, 3), (3, 2, 3), (2,)]), ("labels", [(), (), (8,), (1,)])):
            code, shape = drawn.draw(st.sampled_from([8, 8, *sorted(TYPES)])), (count, *drawn.draw(st.sampled_from(shapes)))
            array = drawn.draw(arrays.arrays(TYPES[code], shape, elements=elements(TYPES[code])))
            raw = struct.pack(f">{1 + array.ndim}I", 256 * code + array.ndim, *array.shape) + array.tobytes()
            raw = drawn.draw(damaged(raw))
            name = f"{before}{part}-{role}-idx{array.ndim}-ubyte"
            packed = drawn.draw(st.booleans())
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(raw, 1) if packed else raw)
    reads_or_refuses(folder)
