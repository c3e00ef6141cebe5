"""The rooms of the package: which there are, what each may import, and what is loaded with it."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import stepladder

ROOMS = (
    *("__main__", "cli", "lab", "trackers", "export", "report", "page", "analysis", "live", "climb", "evidence"),
    *("sweep", "workers", "cluster", "train", "stepping", "state", "cuda", "job", "data", "records", "ladders", "", "steps"),
    *("networks", "tracing", "inference", "engine", "augment", "anatomy", "environment", "streams", "uncompiled", "spec"),
)  # fmt: skip
"""From the top down; a room imports only rooms below it. "" is the package itself, the public names."""

HOMES = {
    "typer": {"cli.app", "cli.options", "cli.shells", "cli.training", "cli.using"},
    "cloudpickle": {"networks.module"},
    "rich": {"cli.layout", "live.climbing", "live.terminal"},
    "IPython": {"live.notebook"},
    "jinja2": {"page.html"},
    "markupsafe": {"page.html"},
    "matplotlib": {"lab.plot", "page.charts", "page.svg"},
    "PIL": {"data.describe", "data.pictures", "page.pictures"},
    "pyarrow": {"data.parquet"},
    "scipy": {"climb.sequential", "evidence.estimates", "evidence.paired", "evidence.target"},
    "distributed": {"cluster", "cluster.client", "cluster.opening"},
    "filelock": {"records.locks"},
    "msgspec": {"records.checkpoint", "records.record"},
    "safetensors": {"export.torch_file", "records.checkpoint", "records.folder", "lab.run", "page.trained", "train"},
    "onnx": {"export.onnx_file", "export.onnx_module"},
    "onnxruntime": {"export.onnx_file"},
    "mlflow": {"trackers.mlflow_store"},
    "sqlalchemy": {"trackers.mlflow_store"},
    "tensorboardX": {"trackers.tensorboard"},
    "torch": {
        *(
            "augment",
            "cuda",
            "engine",
            "engine.native",
            "engine.plain",
            "engine.slots",
            "export.torch_file",
            "lab.run",
            "state",
            "stepping",
            "streams",
            "train",
            "uncompiled",
        ),
        *(
            "cli.modules",
            "export.onnx_module",
            "networks.building",
            "networks.compare",
            "networks.graph",
            "networks.identity",
            "networks.lowering",
        ),
        *("networks.operations", "networks.state", "networks.reading", "networks.replay"),
        *("tracing", "tracing.call", "tracing.given", "tracing.recording", "tracing.rows"),
    },
}
"""The modules that know a foreign library. Numpy may be known by all but the spec."""

SOURCE = Path(stepladder.__file__).parent


def modules() -> dict[str, Path]:
    """Every module of the package by its name within it, with its file."""
    paths = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyi")]
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").rstrip("."): path for path in paths}


MODULES = modules()


def imported(path: Path) -> set[str]:
    """What a module imports anywhere in it, by absolute name: `from a import b` gives `a.b` where that is a module of ours."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module
            ours = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in ours if name.removeprefix("stepladder.") in MODULES}
            found |= submodules | ({node.module} if submodules != ours else set())
    return found


IMPORTS = {name: imported(path) for name, path in MODULES.items()}
IMPORTS[""] -= {"stepladder.data", "stepladder.lab", "stepladder.records"}  # of which names are loaded for those who ask for them


def ours(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    return {name.removeprefix("stepladder").lstrip(".") for name in IMPORTS[module] if name.partition(".")[0] == "stepladder"}


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_is_in_a_room_and_every_room_has_one() -> None:
    assert {room(module) for module in MODULES} == set(ROOMS)


def test_all_that_is_imported_from_the_package_is_there() -> None:
    assert {name for module in MODULES for name in ours(module)} <= MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_rooms_below_its_own(module: str) -> None:
    below = ROOMS[ROOMS.index(room(module)) :]
    assert {name for name in ours(module) if room(name) not in below} == set()


def test_no_modules_import_one_another() -> None:
    TopologicalSorter({module: ours(module) for module in MODULES}).prepare()  # raises where there is a cycle


def test_each_foreign_library_is_known_where_it_belongs() -> None:
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for name in IMPORTS[module]:
            library = name.partition(".")[0]
            if library not in sys.stdlib_module_names and library not in ("stepladder", "numpy"):
                found.setdefault(library, set()).add(module)
    assert found == HOMES


def loaded_with(module: str) -> set[str]:
    """The top-level modules that importing this one loads in a fresh process."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", ["stepladder.cli", "stepladder.sweep", "stepladder.report", "stepladder.workers"])
def test_what_only_hands_out_work_or_reads_records_loads_no_torch(module: str) -> None:
    found = loaded_with(module)
    assert "stepladder" in found
    assert "torch" not in found


def test_the_library_loads_nothing_that_takes_long_before_it_is_needed() -> None:
    assert not loaded_with("stepladder.lab") & {"scipy", "matplotlib", "pyarrow", "pandas", "distributed", "onnx", "sympy"}


def test_the_public_names_load_nothing_but_the_standard_library() -> None:
    assert loaded_with("stepladder") - sys.stdlib_module_names == {"stepladder"}
