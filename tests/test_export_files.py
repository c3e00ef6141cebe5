"""What is written for other systems computes what the program does."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import networks
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from test_export_program import ACTIVATIONS, OTHERS, exported, trained

from stepladder import AvgPool, Concat, Conv, Excite, Flatten, GlobalAvgPool, Linear, MaxPool, Network, Residual
from stepladder.export import onnx_file, torch_file
from stepladder.export.options import Options
from stepladder.inference.program import Program, run
from stepladder.spec import Layer, UserError

pytest.importorskip("onnx")

DRAWN = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def options(network: Network, int8: bool = False) -> Options:
    return Options("drawn_net", "A drawn network.", int8, levels(network, 50))


def levels(network: Network, count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *network.input), np.uint8)


def onnx_scores(made: Program, how: Options, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(onnx_file.model(made, how).SerializeToString())
    found: NDArray[np.float32] = session.run(None, {"images": images})[0]
    return found


def torch_scores(folder: Path, made: Program, how: Options, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    torch_file.write(made, folder, how)
    code = (
        "import sys, numpy, torch; sys.path.insert(0, '.'); import drawn_net as net; model = net.load();"
        "images = torch.from_numpy(numpy.load('images.npy'));"
        "assert not any(name.split('.')[0] == 'stepladder' for name in sys.modules);"
        "numpy.save('scores.npy', model(net.normalised(images)).detach().numpy())"
    )
    np.save(folder / "images.npy", images)
    subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, check=True)
    found: NDArray[np.float32] = np.load(folder / "scores.npy")
    return found


def torch_scores_here(made: Program, how: Options, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import torch
    from torch import nn

    written = dict[str, object]({"__name__": "drawn", "__file__": "drawn_net.py"})
    exec(torch_file.module(made, how), written)
    model = written["DrawnNet"]()  # type: ignore[operator]
    assert isinstance(model, nn.Module)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in torch_file._tensors(made).items()})
    with torch.no_grad():
        found: NDArray[np.float32] = model(written["normalised"](torch.from_numpy(images))).numpy()  # type: ignore[operator]
    return found


def check(network: Network) -> None:
    made, images, how = exported(network, trained(network)), levels(network), options(network)
    expected = run(made, images)
    for found in (onnx_scores(made, how, images), torch_scores_here(made, how, images)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))


@given(networks())
@DRAWN
def test_files_compute_what_the_program_does(network: Network) -> None:
    check(network)


@pytest.mark.parametrize("layer", [*ACTIVATIONS, *OTHERS], ids=str)
def test_files_compute_every_layer(layer: Layer) -> None:
    bare = {"norm": None, "activation": None}
    first: list[Layer] = [Conv(4, **bare), layer, MaxPool(2, 1), layer, Conv(6, padding=1, **bare), layer]  # type: ignore[arg-type]
    flat = [layer] if "Pool" not in str(layer) else []
    check(Network([*first, Flatten(), *flat, Linear(6), *flat, Linear(10)], input=(2, 17, 15)))


@given(networks())
@DRAWN
def test_eight_bits_stay_near_the_program(network: Network) -> None:
    made, images = exported(network, trained(network)), levels(network, 50)
    expected = run(made, images)
    found = onnx_scores(made, options(network, int8=True), images)
    assert np.abs(found - expected).max() <= 0.1 * max(np.abs(expected).max(), 0.1)


JOINED = Network(
    [
        Conv(8, padding=1, groups=1), Conv(8, padding=1, activation=None), Residual(1), MaxPool(), Conv(8, 1), GlobalAvgPool(),
        Linear(4, activation="relu"), Linear(8), Excite(3), Conv(4, padding=1), Concat(1), AvgPool(2), Flatten(), Linear(10),
    ]
)  # fmt: skip


def test_the_torch_module_needs_nothing_of_this_package(tmp_path: Path) -> None:
    made, images = exported(JOINED, trained(JOINED)), levels(JOINED, 20)
    np.testing.assert_allclose(torch_scores(tmp_path, made, options(JOINED), images), run(made, images), rtol=1e-4, atol=1e-3)
    assert "stepladder" not in (tmp_path / "drawn_net.py").read_text()


def test_answers_are_those_of_the_written_file_and_say_what_ran_it(tmp_path: Path) -> None:
    made, images, how = exported(JOINED, trained(JOINED)), levels(JOINED, 20), options(JOINED)
    expected = run(made, images).argmax(1)
    for written, by in ((onnx_file, "onnxruntime"), (torch_file, "torch")):
        assert all(path.parent == tmp_path for path in written.write(made, tmp_path, how))
        labels, ran = written.answers(tmp_path, made, how, images)
        assert labels.tolist() == expected.tolist()
        assert ran.startswith(by)
    assert {path.name for path in tmp_path.iterdir()} == {"drawn_net.onnx", "drawn_net.py", "drawn_net.safetensors"}


def test_onnx_without_onnxruntime_is_run_by_its_own_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, images = exported(JOINED, trained(JOINED)), levels(JOINED, 4)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    how = options(JOINED)
    onnx_file.write(made, tmp_path, how)
    labels, ran = onnx_file.answers(tmp_path, made, how, images)
    assert ran.startswith("the reference of onnx")
    assert labels.tolist() == run(made, images).argmax(1).tolist()


@pytest.mark.parametrize("text", ['a """ b', 'ends in a quote"', "back\\slash \\N{x}", "{braces}"])
def test_whatever_a_ladder_is_called_the_torch_module_can_be_read(text: str) -> None:
    source = torch_file.module(exported(JOINED, trained(JOINED)), replace(options(JOINED), what=text))
    documented = ast.get_docstring(ast.parse(source))
    assert documented
    assert documented.startswith(text)


def test_what_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = exported(JOINED, trained(JOINED))
    with pytest.raises(UserError, match="an export to torch has float weights"):
        torch_file.check(made, options(JOINED, int8=True))
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="an ONNX file of 8 bits is checked by onnxruntime, which is not installed"):
        onnx_file.check(made, options(JOINED, int8=True))
    onnx_file.check(made, options(JOINED))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"the onnx package, which is not installed: pip install 'stepladder\[onnx\]'"):
        onnx_file.check(made, options(JOINED))
