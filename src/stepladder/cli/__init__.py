"""The command line. torch, numpy and scipy are imported only by the commands that need them."""

import sys

from stepladder.cli import shells, training, using  # (their commands in the order of --help)
from stepladder.cli.app import app
from stepladder.cli.ending import status

__all__ = ["app", "main", "training", "using"]


def main() -> None:
    """Run the command line, and end with its exit code."""
    shells.ready()
    sys.exit(status(app))
