"""What a module's fingerprint knows: every behaviour, and nothing else."""

import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from stepladder import SpecError, Step, networks
from stepladder.spec import to_data


class Small(nn.Module):
    """A convolution, dropout, and a linear layer."""

    def __init__(self, width: int = 4, rate: float = 0.05) -> None:
        super().__init__()
        self.conv, self.drop, self.last = nn.Conv2d(1, width, 5, stride=3), nn.Dropout(rate), nn.Linear(width * 64, 10)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.drop(F.relu(self.conv(x))).flatten(1))


class Renamed(nn.Module):
    """The same, said otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, (5, 5), 3)
        self.drop = nn.Dropout(p=0.05)
        self.last = nn.Linear(in_features=256, out_features=10)

    def forward(self, images: Tensor) -> Any:
        """Scores."""
        maps = F.relu(self.conv(images))
        flat = self.drop(maps).flatten(1)
        return self.last(flat)


class Child(Small):
    """A child with nothing of its own."""


def computation(make: Callable[[], Any]) -> str:
    return networks.read(make).computation


def scaled(factor: float) -> Callable[[], nn.Module]:
    class Scaled(Small):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x * factor)

    return Scaled


def buffered(value: float) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        module = Small()
        module.register_buffer("table", torch.full((3,), value), persistent=False)
        return module

    return make


def started(value: float) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        module = Small()
        nn.init.constant_(module.last.bias, value)
        return module

    return make


def test_what_computes_the_same_is_the_same_whatever_it_is_called() -> None:
    assert computation(Small) == computation(Child) == computation(lambda: Small()) == computation(Renamed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Small, lambda: Small(rate=0.1)),
        (Small, lambda: Small(5)),
        (scaled(0.5), scaled(0.25)),
        (buffered(1.0), buffered(2.0)),
        (started(0.0), started(0.1)),
    ],
    ids=["a rate", "a width", "a value closed over", "a buffer", "an initial weight"],
)
def test_what_behaves_otherwise_is_another(one: Callable[[], Any], other: Callable[[], Any]) -> None:
    assert computation(one) != computation(other)
    assert computation(one) == computation(one)


def test_a_weight_that_stands_still_is_not_one_that_is_trained() -> None:
    def frozen() -> nn.Module:
        module = Small()
        module.conv.weight.requires_grad_(False)
        return module

    assert computation(frozen) != computation(Small)
    assert "conv.weight" not in networks.read(frozen).trained


class Noise(Small):
    """Noise that torch does not see."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x + float(np.random.randn()))


class Counting(Small):
    """Each call is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x / self.calls)


class Growing(Small):
    """Each call is another one, by the length of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Any:
        self.seen.append(1)
        return super().forward(x / len(self.seen))


class Rounded(torch.autograd.Function):
    """Rounds, with the gradient of what does not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Straight(Small):
    """A gradient of its own."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(Rounded.apply(x))  # type: ignore[no-untyped-call]


class Branching(Small):
    """What it does depends on the numbers."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x if x.sum() > 0 else -x)


def hooked() -> nn.Module:
    """A module that changes its gradients."""
    module = Small()
    module.conv.weight.register_hook(lambda gradient: gradient * 2)
    return module


def of_chance() -> nn.Module:
    """A module whose width is drawn."""
    return Small(int(torch.randint(2, 20, ())))


NUMBERS = itertools.count(3)
UNTRACED = "give cache=False to train it all the same, anew every time"
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (Noise, "built twice, it is not the same: add"),
    (Counting, f"its forward changes its calls from call to call, so no recorded run could be known to be its own: {UNTRACED}"),
    (Growing, "its forward changes its seen from call to call"),
    (Straight, "its forward applies Rounded, an autograd function, whose gradient cannot be seen"),
    (Branching, "it cannot be traced, so no recorded run could be known to be its own"),
    (hooked, "conv.weight has a hook on its gradient"),
    (of_chance, "its layers depend on random numbers, expected the same ones for every seed"),
    (lambda: Small(next(NUMBERS)), "built twice, it is not the same"),
    (lambda: Small(width=-1), "building it fails (RuntimeError:"),
    (lambda: 5, "building it gives 5, expected a torch.nn.Module"),
    (lambda: nn.Flatten(0), "its forward gives shape (1568,) of 2 images, expected a number for each of at least two classes"),
    (lambda: nn.Conv2d(3, 4, 3), "its forward stops at 2 images of 1 x 28 x 28"),
    (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "it has no weights yet (lazy layers)"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_known_again_is_refused_with_the_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        Step("Own", network=make)
    assert str(refused.value).startswith("step 'Own': network ")
    assert message in str(refused.value)


def test_an_instance_is_refused_and_told_how_to_give_it() -> None:
    with pytest.raises(SpecError, match=r"network is an instance of Small, .* network=Small, or network=lambda: Small\(...\)"):
        Step("Own", network=Small())


@pytest.mark.parametrize("make", [Counting, Straight, Branching, hooked])
def test_what_cannot_be_known_again_may_be_trained_anew_every_time(make: Callable[[], Any]) -> None:
    one, other = (Step("Own", network=make, cache=False).network for _ in range(2))
    assert one != other
    assert to_data(one) != to_data(other)
    assert "Its runs are of this session alone" in networks.told(one, "native")


def test_reading_a_module_leaves_all_chance_as_it_was() -> None:
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    expected = torch.rand(3).tolist(), random.random(), np.random.rand()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    networks.read(Small)
    assert (torch.rand(3).tolist(), random.random(), np.random.rand()) == expected


def test_a_module_is_called_by_what_makes_it_or_by_its_class() -> None:
    assert [networks.read(make).name for make in (Small, hooked_not, lambda: Small(5), partial(Small, 5))] == [
        "Small", "hooked_not", "Small", "Small",
    ]  # fmt: skip


def hooked_not() -> nn.Module:
    """A function that makes one."""
    return Small()


def test_a_module_that_sets_its_own_seed_is_said_to_begin_alike() -> None:
    def seeding() -> nn.Module:
        torch.manual_seed(0)
        return Small()

    module = networks.read(seeding)
    assert module.computation != computation(Small)
    assert networks.told(module, "native").endswith("All seeds begin with the same weights, which it sets itself.")
    assert "All seeds" not in networks.told(networks.read(Small), "native")


def test_data_of_a_module_is_what_it_computes() -> None:
    step = Step("Own", network=Small)
    assert to_data(step.network) == {
        "type": "Module", "computation": computation(Small), "input": [1, 28, 28], "classes": 10,
    }  # fmt: skip


class Hidden(Small):
    """Does something that its calls do not show."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        match self.how:
            case "a view":
                x.view(len(x), -1).relu_()
            case "a part":
                x[:, 0].mul_(2)
            case "data":
                x.data.relu_()
            case "a detached tensor":
                x.detach().relu_()
            case "a hook on a tensor" if x.requires_grad:
                x.register_hook(lambda gradient: gradient * 2)
            case "weights":
                self.conv.weight.data.mul_(0.9)
            case "a device" if x.device.type == "cpu":
                x = x * 2
            case "without gradients" if not torch.is_grad_enabled():
                x = x * 2
            case "autocast":
                with torch.autocast("cpu", torch.bfloat16):
                    return self.last(x.flatten(1)).float()
        return self.last(self.drop(x).flatten(1))


@pytest.mark.parametrize(
    "how",
    ["a view", "a part", "data", "a detached tensor", "a hook on a tensor", "weights", "a device", "without gradients", "autocast"],
)
def test_what_calls_do_not_show_is_found_by_repeating_them(how: str) -> None:
    assert computation(lambda: Hidden("nothing"))
    with pytest.raises(SpecError, match=f"its forward computes more than its calls show: .*{UNTRACED}"):
        networks.read(lambda: Hidden(how))
    assert networks.read(lambda: Hidden(how), cache=False).lowered is None


def test_a_seed_of_its_own_is_not_that_of_the_run() -> None:
    def seeded() -> nn.Module:
        torch.manual_seed(0)
        return Small()

    assert computation(seeded) != computation(Small)


@pytest.mark.parametrize("cache", [True, False])
def test_one_module_for_all_runs_is_refused(cache: bool) -> None:
    module, part = Small(), nn.Linear(784, 10)
    for make in (lambda: module, lambda: nn.Sequential(nn.Flatten(), part)):
        with pytest.raises(SpecError, match=r"built twice, it has . tensors that are the same ones"):
            networks.read(make, cache=cache)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_weights_that_are_computed_in_hooks_can_be_read(wrap: Callable[[nn.Module], nn.Module]) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), wrap(nn.Linear(784, 10)))

    assert networks.trainer(networks.read(make), "native").engine == "torch"


def test_what_training_alone_writes_beside_dropout_is_found() -> None:
    class Dropped(Small):
        def forward(self, x: Tensor) -> Any:
            x = self.drop(self.conv(x))
            F.dropout(x.view(len(x), -1), 0.5, self.training, inplace=True)
            return self.last(x.flatten(1))

    with pytest.raises(SpecError, match="computes more than its calls show: in training its output"):
        networks.read(Dropped)
