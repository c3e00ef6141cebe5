"""The command line without a process of its own, for the many calls whose process is not what is tested."""

import io
import os
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

from stepladder.cli import main


def stepladder(*arguments: str, folder: Path | None = None) -> CompletedProcess[str]:
    """What `stepladder ARGUMENTS` prints and exits with, called in `folder`."""
    out, error = io.StringIO(), io.StringIO()
    with (
        chdir(folder or os.getcwd()),
        redirect_stdout(out),
        redirect_stderr(error),
        patch.object(sys, "argv", ["stepladder", *arguments]),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int | None)
    return CompletedProcess(list(arguments), code or 0, out.getvalue(), error.getvalue())
