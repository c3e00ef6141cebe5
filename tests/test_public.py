import inspect
import warnings
from types import ModuleType

import pytest

import stepladder

PUBLIC = [
    "ELU", "EMA", "GELU", "AdamW", "Affine", "AvgPool", "BatchNorm", "BlurPool", "Branch", "Budget", "Concat", "Conv", "Cosine",
    "DataError", "Dropout", "Dropout2d", "Erasing", "Excite", "Flatten", "GlobalAvgPool", "GroupNorm", "HardSwish", "Lab",
    "Ladder", "LayerNorm", "LeakyReLU", "Linear", "LinearDecay", "MaxPool", "Multiply", "Network", "OneCycle", "PReLU", "ReLU",
    "ReLU6", "Recipe", "RecordError", "Residual", "SiLU", "Sigmoid", "SpecError", "Step", "StepLR", "Tanh", "UserError",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert stepladder.__all__ == PUBLIC
    found = {name for name, value in vars(stepladder).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    assert found - {"TYPE_CHECKING", "Any", "import_module"} == set(PUBLIC) - {"DataError", "Lab", "RecordError"}
    with pytest.raises(AttributeError, match="module 'stepladder' has no attribute 'lap'"):
        stepladder.lap  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_says_what_it_is(name: str) -> None:
    value = getattr(stepladder, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")  # what a dataclass without a docstring gets
    for method, function in inspect.getmembers(value, inspect.isfunction):
        if not method.startswith("_") and function.__qualname__.startswith(f"{name}."):
            assert function.__doc__, f"{name}.{method}"


def test_a_public_value_shows_itself_as_it_is_written() -> None:
    names = vars(stepladder)
    for written in ("Affine(rotate=15, shift=0.0, scale=0.0, shear=0.0)", "StepLR(every=6, factor=0.1)", "GlobalAvgPool()"):
        assert repr(eval(written, dict(names))) == written


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert stepladder.__version__ == version("stepladder")


def test_a_warning_is_an_error_in_every_test() -> None:
    for kind in (UserWarning, DeprecationWarning, ResourceWarning):
        with pytest.raises(kind, match="told"):
            warnings.warn("told", kind, stacklevel=1)
