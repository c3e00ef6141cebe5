"""The library's front: a lab runs ladders, and what they show is a result; the command line calls nothing else."""

from stepladder.lab.lab import Lab
from stepladder.lab.result import Report, Result, StepResult
from stepladder.lab.run import Run

__all__ = ["Lab", "Report", "Result", "Run", "StepResult"]
