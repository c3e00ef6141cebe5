"""What lies on the disk: a folder's entries, and files that may be opened."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepladder.data.found import DataError

# A packed file may expand a thousandfold, so a header that lies could claim all memory. MNIST's images expand 5 times; what
# claims to be 200 times its file is a bomb, or as good as blank. Small claims are free: sorted labels do expand 1,000 times.
MOST_EXPANSION = 200
ALWAYS_ALLOWED = 64 << 20


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses while a file or folder is read into DataError."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path}: cannot be read: not enough memory for what its header claims") from None


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file, open for reading; raises DataError for what is no regular file, or is refused while it is read."""
    with reading(path):
        if not stat.S_ISREG(mode := path.stat().st_mode):  # a pipe would be waited for
            raise DataError(f"{path}: cannot be read: {'Is a directory' if stat.S_ISDIR(mode) else 'not a regular file'}")
        with path.open("rb") as file:
            yield file


def size(file: io.BufferedReader) -> int:
    """How many bytes the open file holds."""
    return os.fstat(file.fileno()).st_size


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of the names, without hidden files and what systems add; the path itself
    where it is no folder."""
    with reading(folder):
        if not folder.is_dir():
            return [folder]
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX", "lost+found")))


def files(folder: Path) -> list[Path]:
    """The entries that are no folders."""
    return [path for path in entries(folder) if not path.is_dir()]
