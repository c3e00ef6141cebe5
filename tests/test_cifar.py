"""CIFAR-10 and CIFAR-100, binary and as Python batches; and what a pickle may not do."""

import pickle
import struct
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stepladder.data import DataError
from stepladder.data.cifar import read
from stepladder.data.found import Found
from stepladder.data.pickled import Refused, unpickled

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)
LABELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 9]
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HUNDRED = [f"kind {k}" for k in range(100)]


def python2(batch: dict[str, Any]) -> bytes:
    """A batch as Python 2 and its numpy wrote it, protocol 2: text and the bytes of arrays are strings of bytes."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def one(value: Any) -> bytes:
        if isinstance(value, str):
            return text(value.encode())
        if isinstance(value, int):
            return number(value)
        if isinstance(value, list):
            return b"](" + b"".join(map(one, value)) + b"e"
        shape = b"(" + b"".join(map(number, value.shape)) + b"t"
        kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        start = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        return start + shape + kind + b"\x89" + text(value.tobytes()) + b"tb"

    return b"\x80\x02}(" + b"".join(text(key.encode()) + one(value) for key, value in batch.items()) + b"u."


def python3(protocol: int, encode: bool = True) -> Callable[[dict[str, Any]], bytes]:
    def written(batch: dict[str, Any]) -> bytes:
        return pickle.dumps({key.encode() if encode else key: value for key, value in batch.items()}, protocol)

    return written


WRITERS = {"2": python2, **{f"3-{p}-{e}": python3(p, e) for p in range(6) for e in (True, False)}}


def batches(folder: Path, write: Callable[[dict[str, Any]], bytes] = python2) -> Path:
    """CIFAR-10 as Python batches of two images each."""
    folder.mkdir(exist_ok=True)
    for k in range(6):
        here = slice(2 * k, 2 * k + 2)
        batch = {"batch_label": "batch", "labels": LABELS[here], "data": IMAGES[here].reshape(2, -1), "filenames": ["a", "b"]}
        (folder / ("test_batch" if k == 5 else f"data_batch_{k + 1}")).write_bytes(write(batch))
    (folder / "batches.meta").write_bytes(write({"num_cases_per_batch": 2, "label_names": TEN, "num_vis": 3072}))
    return folder


def binary(folder: Path) -> Path:
    """CIFAR-10 as binary files of two images each."""
    folder.mkdir(exist_ok=True)
    records = [bytes([label]) + image.tobytes() for label, image in zip(LABELS, IMAGES, strict=True)]
    for k in range(6):
        (folder / ("test_batch.bin" if k == 5 else f"data_batch_{k + 1}.bin")).write_bytes(b"".join(records[2 * k : 2 * k + 2]))
    (folder / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")
    return folder


def hundred(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for part, here in (("train", slice(0, 10)), ("test", slice(10, 12))):
        count = len(LABELS[here])
        fine, pixels = [label + 90 for label in LABELS[here]], IMAGES[here].reshape(count, -1)
        batch = {"fine_labels": fine, "coarse_labels": [1] * count, "data": pixels}
        (folder / part).write_bytes(python2(batch))
    (folder / "meta").write_bytes(python2({"fine_label_names": HUNDRED, "coarse_label_names": ["x"]}))
    return folder


def hundred_binary(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    records = [bytes([1, label + 90]) + image.tobytes() for label, image in zip(LABELS, IMAGES, strict=True)]
    (folder / "train.bin").write_bytes(b"".join(records[:10]))
    (folder / "test.bin").write_bytes(b"".join(records[10:]))
    (folder / "fine_label_names.txt").write_text("\n".join(HUNDRED) + "\n")
    (folder / "coarse_label_names.txt").write_text("x\n")
    return folder


def check(found: Found | None, kind: str, names: list[str], first: int = 0) -> None:
    assert found is not None
    assert found.test is not None
    assert found[4:] == (tuple(names), ())
    assert (found.kind, found.validation) == (kind, None)
    for part, here in ((found.train, slice(0, 10)), (found.test, slice(10, 12))):
        np.testing.assert_array_equal(part.images, IMAGES[here], strict=True)
        np.testing.assert_array_equal(part.labels, np.array(LABELS[here], np.uint8) + np.uint8(first), strict=True)
        assert part.images.flags.c_contiguous
        assert part.images.flags.writeable


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        read(folder)
    return str(error.value)


@pytest.mark.parametrize("writer", WRITERS)
def test_python_batches_are_read_in_the_order_of_their_numbers(tmp_path: Path, writer: str) -> None:
    check(read(batches(tmp_path, WRITERS[writer])), "CIFAR-10 (Python batches)", TEN)


def test_binary_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    check(read(binary(tmp_path)), "CIFAR-10 (binary)", TEN)


def test_cifar_100_has_its_fine_labels(tmp_path: Path) -> None:
    check(read(hundred(tmp_path / "a")), "CIFAR-100 (Python batches)", HUNDRED, 90)
    check(read(hundred_binary(tmp_path / "b")), "CIFAR-100 (binary)", HUNDRED, 90)


@pytest.mark.parametrize("write", [np.array, lambda labels: list(np.array(labels, ">i4"))])
def test_labels_may_be_numbers_of_numpy(tmp_path: Path, write: Callable[[list[int]], object]) -> None:
    def written(batch: dict[str, Any]) -> bytes:
        return python3(4)({key: write(value) if key == "labels" else value for key, value in batch.items()})

    check(read(batches(tmp_path, written)), "CIFAR-10 (Python batches)", TEN)


def test_pixels_in_the_order_of_fortran_come_in_that_of_c(tmp_path: Path) -> None:
    def written(batch: dict[str, Any]) -> bytes:
        return python3(2)({key: np.asfortranarray(value) if key == "data" else value for key, value in batch.items()})

    check(read(batches(tmp_path, written)), "CIFAR-10 (Python batches)", TEN)


def test_batches_of_python_2_may_be_text(tmp_path: Path) -> None:
    def line(value: object) -> bytes:
        match value:
            case str():
                return f"S{value!r}\n".encode()
            case int():
                return f"I{value}\n".encode()
            case list():
                return b"(l" + b"".join(line(each) + b"a" for each in value)
        assert isinstance(value, np.ndarray)
        kind = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
        start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nI3072\nt"
        return start + kind + b"I00\nS" + repr(value.tobytes())[1:].encode() + b"\ntb"

    def written(batch: dict[str, Any]) -> bytes:
        return b"(d" + b"".join(line(key) + line(value) + b"s" for key, value in batch.items()) + b"."

    check(read(batches(tmp_path, written)), "CIFAR-10 (Python batches)", TEN)


@pytest.mark.parametrize("make", [batches, binary, hundred, hundred_binary])
def test_one_of_the_files_stands_for_its_folder(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    for file in make(tmp_path).iterdir():
        found = read(file)
        assert (found is None) == ("meta" in file.name or "names" in file.name)
        assert found is None or len(found.train.labels) == 10


@pytest.mark.parametrize(("make", "meta"), [(batches, "batches.meta"), (binary, "batches.meta.txt"), (hundred, "meta"),
                                            (hundred_binary, "fine_label_names.txt")])  # fmt: skip
def test_without_the_meta_file_classes_are_numbered(tmp_path: Path, make: Callable[[Path], Path], meta: str) -> None:
    (make(tmp_path) / meta).unlink()
    found = read(tmp_path)
    assert found is not None
    assert found.names is None
    np.testing.assert_array_equal(found.train.images, IMAGES[:10])


@pytest.mark.parametrize("make", [batches, binary, hundred, hundred_binary])
def test_a_missing_batch_is_named(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    names = sorted(path.name for path in make(tmp_path).iterdir() if "meta" not in path.name and "names" not in path.name)
    for name in names:
        raw = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert refused(tmp_path).startswith(f"{tmp_path / name}: file not found, expected it beside ")
        (tmp_path / name).write_bytes(raw)


def test_other_folders_and_files_are_another_format(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path / "nothing") is None
    assert read(Path("a\0b")) is None
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "meta").touch()
    assert read(tmp_path) is None
    assert read(tmp_path / "meta") is None


@pytest.mark.parametrize(("size", "found"), [(0, "0"), (3072, "3,072"), (6147, "6,147")])
def test_a_binary_file_of_another_length_is_refused(tmp_path: Path, size: int, found: str) -> None:
    path = binary(tmp_path) / "data_batch_3.bin"
    path.write_bytes(bytes(size))
    expected = "expected a multiple of 3,073, the length of an image and its label"
    assert refused(tmp_path) == f"{path}: found {found} bytes, {expected}"


def test_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    path = binary(tmp_path / "a") / "data_batch_2.bin"
    path.write_bytes(bytes(3073) + b"\x0a" + bytes(3072))
    expected = "label out of range: label 1 is 10, expected 0 to 9 (10 classes)"
    assert refused(tmp_path / "a") == f"{path}: {expected}"
    path = batches(tmp_path / "b") / "test_batch"
    path.write_bytes(python2({"data": IMAGES[:2].reshape(2, -1), "labels": [-1, 10]}))
    assert refused(tmp_path / "b") == f"{path}: label out of range: label 0 is -1, expected 0 to 9 (10 classes)"


def test_another_number_of_names_is_refused(tmp_path: Path) -> None:
    (binary(tmp_path) / "batches.meta.txt").write_text("cat\ndog\n")
    assert refused(tmp_path) == f"{tmp_path / 'batches.meta.txt'}: found 2 names of classes, expected 10"


PIXELS = IMAGES[:2].reshape(2, -1)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({}, "found no array under data, expected uint8 (images x 3072)"),
        ({"data": IMAGES[:2], "labels": [0, 0]}, "found uint8 (2 x 3 x 32 x 32) under data, expected uint8 (images x 3072)"),
        ({"data": PIXELS / 255, "labels": [0, 0]}, "found float64 (2 x 3072) under data, expected uint8 (images x 3072)"),
        ({"data": PIXELS}, "found no list of whole numbers under labels, expected a label for each image"),
        ({"data": PIXELS, "labels": ["a", "b"]}, "found no list of whole numbers under labels, expected a label for each image"),
        ({"data": PIXELS, "labels": [0, 1 << 99]}, "found no list of whole numbers under labels, expected a label for each image"),
        ({"data": PIXELS, "labels": [0]}, "found 1 labels, expected 2, one for each image, and at least one"),
        ({"data": PIXELS[:0], "labels": []}, "found 0 labels, expected 0, one for each image, and at least one"),
    ],
)
def test_a_batch_that_is_none_of_cifar_is_refused(tmp_path: Path, batch: dict[str, Any], message: str) -> None:
    path = batches(tmp_path) / "data_batch_1"
    path.write_bytes(python3(4)(batch))
    assert refused(tmp_path) == f"{path}: {message}"


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    path = batches(tmp_path) / "data_batch_1"
    path.write_bytes(pickle.dumps([1, 2]))
    assert refused(tmp_path) == f"{path}: found a pickled list, expected a dict, as CIFAR's batches are"


# What a pickle may not do


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: object, *given: object) -> None:
        self.call = function, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_that_a_batch_names_is_run(tmp_path: Path, protocol: int) -> None:
    path = batches(tmp_path) / "data_batch_4"
    path.write_bytes(pickle.dumps({"data": Calls(exec, f"open({str(tmp_path / 'ran')!r}, 'w')")}, protocol))
    module = "__builtin__" if protocol < 3 else "builtins"
    assert refused(tmp_path) == f"{path}: it wants to load {module}.exec, expected arrays and plain containers only"
    assert not (tmp_path / "ran").exists()


def reason(raw: bytes) -> str:
    with pytest.raises(Refused) as error:
        unpickled(raw)
    return str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "damaged pickle: Ran out of input"),
        (b"cos\nsystem\n(S'ls'\ntR.", "it wants to load os.system, expected arrays and plain containers only"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "it wants to load numpy.ndarray.dump, expected arrays and plain"),
        (b"(S'ls'\nios\nsystem\n.", "it wants to load os.system, expected arrays and plain containers only"),
        (b"Pid\n.", "it refers to an object outside itself ('id'), expected arrays and plain containers only"),
        (b"cnumpy\nndarray\n.", "it holds the name of a type, expected arrays and plain containers only"),
        (b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.", "it calls ndarray in a way that makes no array"),
        (b"cnumpy\nndarray\n}S'name'\nS'encode'\nsb.", "it wants to change ndarray"),
        (b"c_codecs\nencode\n(Vabc\nVzip\ntR.", "it calls encode in a way that makes no array"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R.", "it holds an array without bytes of numbers"),
    ],
)
def test_a_pickle_of_anything_else_is_refused(raw: bytes, message: str) -> None:
    assert reason(raw).startswith(message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (OrderedDict(a=1), "it wants to load collections.OrderedDict, expected arrays and plain containers only"),
        (np.array([None]), "it holds an array without bytes of numbers"),
        (np.array(["a"]), "it holds an array of 'U1', expected numbers"),
        (np.zeros(2, [("a", "u1")]), "it holds an array of 'V1', expected numbers"),
        (np.array(["2026-11-25"], "M8[D]"), "it holds an array of 'M8', expected numbers"),
    ],
)
def test_other_objects_and_arrays_are_refused(value: object, message: str) -> None:
    assert reason(pickle.dumps(value, 4)) == message


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<i8", "<f4", ">f8", "?"])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numbers_come_as_they_were(dtype: str, protocol: int) -> None:
    array: NDArray[Any] = np.arange(6).reshape(2, 3).astype(dtype)
    for ordered in (array, np.asfortranarray(array)):
        np.testing.assert_array_equal(unpickled(pickle.dumps(ordered, protocol)), array, strict=True)
    assert unpickled(pickle.dumps(array[1, 2], protocol)) == array[1, 2].item()


def array_of(shape: bytes, data: bytes) -> bytes:
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + kind
        + b"\x89"
        + data
        + b"tb."
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (array_of(b"(\x8a\x08" + bytes(7) + b"\x10t", b"U\x01a"), "it holds 1 bytes for an array of 1152921504606846976 numbers"),
        (array_of(b"(J\xff\xff\xff\xfft", b"U\x01a"), "it holds 1 bytes for an array of -1 numbers of 1 bytes"),
        (b"K\x01r\xf0\xff\xff\xff.", "it counts 4,294,967,280 objects, more than it has bytes"),
        (b"(lp99999999\n.", "it counts 99,999,999 objects, more than it has bytes"),
        (b"\x8e" + b"\xff" * 7 + b"\x0fabc.", "damaged pickle: "),
        (b"B\xff\xff\xff\x7fabc.", "damaged pickle: "),
        (b"](" + b"c_codecs\nencode\n(X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\x00Vlatin1\ntR" +
         b"c_codecs\nencode\n(h\x00Vlatin1\ntR" * 1000 + b"e.", "it makes more bytes than it has"),
    ],
)  # fmt: skip
def test_a_pickle_that_claims_much_takes_no_more_than_it_has(raw: bytes, message: str) -> None:
    tracemalloc.start()
    try:
        assert reason(raw).startswith(message)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()
