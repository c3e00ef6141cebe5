"""Damaged pictures, folders, batches, MATLAB files and parquet: arrays that keep the contract, or DataError."""

import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import fuzzed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from stepladder.data import DataError, cifar, folders, parquet, svhn
from stepladder.data.found import Found
from stepladder.data.pickled import Refused, unpickled
from stepladder.data.pictures import levels

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 7, 3)).astype(np.uint8)
ROWS = RNG.integers(0, 256, (2, 3072)).astype(np.uint8)
NUMBERS = (b"\0", b"\xff", b"\xff\xff", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\1", b"\x7f\xff\xff\xff")


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes after up to three cuts, changes, insertions, repetitions or numbers put into them."""
    for _ in range(draw(st.integers(0, 3))):
        near = draw(st.sampled_from([64, 400, len(raw)]))  # most headers are short
        at, end = sorted(draw(st.tuples(*[st.integers(0, min(near, len(raw)))] * 2)))
        match draw(st.sampled_from(["flip", "number", "cut", "end", "insert", "repeat"])):
            case "flip" if at < len(raw):
                raw = raw[:at] + bytes([raw[at] ^ 1 << draw(st.integers(0, 7))]) + raw[at + 1 :]
            case "number":
                number = draw(st.sampled_from(NUMBERS))
                raw = raw[:at] + number + raw[at + len(number) :]
            case "cut":
                raw = raw[:at] + raw[end:]
            case "end":
                raw = raw[:at]
            case "insert":
                raw = raw[:at] + draw(st.binary(max_size=20)) + raw[at:]
            case "repeat":
                raw = raw[:end] + raw[at:]
    return raw


def check(found: Found | None) -> None:
    """What every reader promises."""
    if found is None:
        return
    for part in (found.train, found.test, found.validation):
        if part is None:
            continue
        images, labels = part
        assert images.dtype == labels.dtype == np.uint8
        assert images.ndim == 4
        assert images.shape[1] in (1, 3)
        assert images.shape[1:] == found.train.images.shape[1:]
        assert labels.shape == (len(images),)
        assert images.size
        assert images.flags.c_contiguous
        assert images.flags.writeable
        assert found.names is None or labels.max() < len(found.names)


def read(reader: Callable[[Path], Found | None], path: Path) -> None:
    with suppress(DataError):
        check(reader(path))


def picture(kind: str, mode: str) -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind)
    return file.getvalue()


def shades() -> bytes:
    file = BytesIO()
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(file, "png")
    return file.getvalue()


PICTURES = {
    **{f"{kind} {mode}": picture(kind, mode) for kind, modes in {
        "png": ("1", "L", "LA", "P", "RGB", "RGBA"), "jpeg": ("L", "RGB", "CMYK"), "bmp": ("L", "P", "RGB"), "gif": ("P",),
        "tiff": ("L", "RGB", "CMYK", "LAB"), "webp": ("RGB", "RGBA"), "ppm": ("L", "RGB"), "jpeg2000": ("RGB",), "pcx": ("P",),
    }.items() for mode in modes},
    "png I;16": shades(),
}  # fmt: skip


@pytest.mark.parametrize("kind", PICTURES)
@fuzzed(15)
@given(drawn=st.data(), size=st.none() | st.tuples(*[st.integers(1, 9)] * 2), channels=st.sampled_from([1, 3]))
def test_a_damaged_picture_is_levels_or_refused(
    drawn: st.DataObject, kind: str, size: tuple[int, int] | None, channels: int
) -> None:
    raw = drawn.draw(damaged(PICTURES[kind]))
    try:
        found = levels(raw, "x", size, channels)
    except DataError:
        return
    assert found.dtype == np.uint8
    assert found.shape[0] == channels
    assert found.shape[1:] == size or size is None
    assert found.flags.c_contiguous


NAMES = st.sampled_from(["train", "Test", "val", "valid", "a", "b", "10", "9", ".git", "__MACOSX", "b\n", "\udcff"])
FILES = {
    "1.png": PICTURES["png L"],
    "2.png": PICTURES["png RGB"],
    "10.jpg": PICTURES["jpeg RGB"],
    "small.bmp": b"",
    ".DS_Store": b"",
    "Thumbs.db": b"x",
    "notes.txt": b"x",
    "none": b"",
}


@fuzzed(25)
@given(
    layout=st.lists(st.tuples(st.lists(NAMES, max_size=3), st.sampled_from([*list(FILES)[:3] * 3, *FILES, "loop"])), max_size=6),
    size=st.sampled_from([None, None, (3, 4)]),
    channels=st.sampled_from([None, 1, 3]),
)
def test_a_folder_of_any_layout_is_read_or_refused(
    tmp_path: Path, layout: list[tuple[list[str], str]], size: tuple[int, int] | None, channels: int | None
) -> None:
    root = tmp_path / "root"
    for places, name in layout:
        folder = root.joinpath(*places)
        folder.mkdir(parents=True, exist_ok=True)
        if name == "loop":
            (folder / name).symlink_to(root) if not (folder / name).is_symlink() else None
        else:
            (folder / name).write_bytes(FILES[name])
    read(lambda path: folders.read(path, size, channels), root)
    with suppress(DataError):
        names, images = folders.read_unlabelled(root, size, channels)
        assert len(names) == len(images) > 0
    shutil.rmtree(root, ignore_errors=True)


def batch(protocol: int) -> bytes:
    return pickle.dumps({b"data": ROWS, b"labels": [1, 2], b"filenames": ["a", "b"]}, protocol)


META = pickle.dumps({b"label_names": [str(k) for k in range(10)]}, 2)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@fuzzed(25)
@given(drawn=st.data())
def test_a_damaged_batch_is_read_or_refused(tmp_path: Path, drawn: st.DataObject, protocol: int) -> None:
    raw = batch(protocol)
    for name in (*(f"data_batch_{k}" for k in range(2, 6)), "test_batch"):
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "data_batch_1").write_bytes(drawn.draw(damaged(raw)))
    (tmp_path / "batches.meta").write_bytes(drawn.draw(damaged(META)))
    read(cifar.read, tmp_path)


OPERATIONS = (
    *(bytes([code]) for code in b"()]}0123.NabdeloqrstuRQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94"),
    *(b"K\x01", b"K\x05", b"U\x02u1", b"X\x02\0\0\0ab", b"q\0", b"q\1", b"h\0", b"h\1", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n"),
    *(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n", b"cnumpy._core.numeric\n_frombuffer\n"),
    *(b"c_codecs\nencode\n", b"Vlatin1\n", b"U\x01|", b"J\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"\x80\x04"),
)


@fuzzed(200)
@given(st.lists(st.sampled_from(OPERATIONS), max_size=30))
def test_any_program_of_a_pickle_makes_plain_things_or_is_refused(operations: list[bytes]) -> None:
    try:
        found = unpickled(b"".join(operations) + b".")
    except Refused:
        return
    assert type(found) in (type(None), bool, int, str, bytes, list, tuple, dict, set, frozenset, np.ndarray)


@fuzzed(25)
@given(drawn=st.data())
def test_damaged_binary_files_are_read_or_refused(tmp_path: Path, drawn: st.DataObject) -> None:
    raw = b"\x03" + bytes(3072)
    for name in (*(f"data_batch_{k}.bin" for k in range(2, 6)), "test_batch.bin"):
        (tmp_path / name).write_bytes(raw)
    (tmp_path / "data_batch_1.bin").write_bytes(drawn.draw(damaged(raw)))
    (tmp_path / "batches.meta.txt").write_bytes(drawn.draw(damaged(b"".join(b"%d\n" % k for k in range(10)))))
    read(cifar.read, tmp_path)


def matlab(folder: Path, compressed: bool) -> bytes:
    path = folder / "test_32x32.mat"
    savemat(path, {"X": PIXELS[..., None], "y": np.array([[10]], np.uint8)}, do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:]  # without the date


@pytest.mark.parametrize("compressed", [False, True])
@fuzzed(25)
@given(drawn=st.data())
def test_a_damaged_matlab_file_is_read_or_refused(tmp_path: Path, drawn: st.DataObject, compressed: bool) -> None:
    raw = matlab(tmp_path, compressed)
    (tmp_path / "train_32x32.mat").write_bytes(drawn.draw(damaged(raw)))
    read(svhn.read, tmp_path)


def rows(compression: str) -> bytes:
    file = BytesIO()
    pictures = [{"bytes": PICTURES["png L"], "path": "a"}, {"bytes": PICTURES["jpeg RGB"], "path": "b"}]
    features = '{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'
    table = pyarrow.table({"image": pictures, "label": [0, 1]}).replace_schema_metadata({"huggingface": features})
    pyarrow.parquet.write_table(table, file, compression=compression)
    return file.getvalue()


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@fuzzed(25)
@given(drawn=st.data(), backwards=st.booleans())
def test_damaged_parquet_is_read_or_refused(tmp_path: Path, drawn: st.DataObject, compression: str, backwards: bool) -> None:
    raw = rows(compression)
    raw = drawn.draw(damaged(raw[::-1]))[::-1] if backwards else drawn.draw(damaged(raw))  # its header is at its end
    (tmp_path / "train.parquet").write_bytes(raw)
    read(parquet.read, tmp_path)
