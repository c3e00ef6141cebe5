"""Recorded networks in integers of 8 bits: what each finished seed's answers once it is quantised as `export` does."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stepladder import live
from stepladder.data import Dataset
from stepladder.environment import cores
from stepladder.evidence import Answered, Arm
from stepladder.export.options import Options
from stepladder.export.targets import target
from stepladder.inference.operation import Program
from stepladder.lab.run import Run
from stepladder.spec import UserError
from stepladder.steps import Step

Named = tuple[str, int]
"""A network: its step's id and its seed."""


def answered(steps: Sequence[Step], arms: Mapping[str, Arm], dataset: Dataset, progress: bool) -> dict[str, Answered]:
    """What the finished seeds of steps answer to the test images in integers, by step id; with the reason for each step of which
    a network cannot be written so."""
    options = Options("in_integers", "", True, dataset.train_images)
    programs, refused = dict[Named, Program](), dict[str, str]()
    for step in steps:
        try:
            programs |= {(step.id, seed): program for seed, program in _programs(step, arms[step.id], options)}
        except UserError as error:
            refused[step.id] = str(error)
            programs = {named: program for named, program in programs.items() if named[0] != step.id}
    found = dict[Named, tuple[NDArray[np.uint8], str]]()
    pool = ThreadPoolExecutor(cores())  # threads: the compiler is a process, and what it made runs without Python's lock
    try:
        waiting = {pool.submit(_answers, program, options, dataset.test_images): named for named, program in programs.items()}
        done = as_completed(waiting)
        for future in live.counted(done, len(waiting), "networks quantised") if progress else done:
            step_id, seed = waiting[future]
            try:
                found[step_id, seed] = future.result()
            except UserError as error:
                refused.setdefault(step_id, f"seed {seed}: {error}")
    finally:
        pool.shutdown(cancel_futures=True)
    return {step.id: _of(step.id, found, refused) for step in steps}


def _programs(step: Step, arm: Arm, options: Options) -> Iterator[tuple[int, Program]]:
    """The program of each finished seed; raises UserError for what cannot be written in integers."""
    for record in arm.finished:
        program = Run(arm.folders[record.seed], record, step.network).program()
        target("c").check(program, options)
        yield record.seed, program


def _answers(program: Program, options: Options, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
    """What an export to C answers, and what computed that; raises UserError for numbers that no integers hold."""
    with TemporaryDirectory() as made:
        target("c").write(program, Path(made), options)
        return target("c").answers(Path(made), program, options, images)


def _of(step: str, found: Mapping[Named, tuple[NDArray[np.uint8], str]], refused: Mapping[str, str]) -> Answered:
    if step in refused:
        return Answered({}, refused=refused[step])
    own = {seed: answers for (name, seed), (answers, _) in found.items() if name == step}
    return Answered(own, next((by for (name, _), (_, by) in found.items() if name == step), ""))
