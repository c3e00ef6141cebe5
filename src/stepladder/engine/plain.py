"""A network as a plain torch module: `engine="torch"`, and the twin that other engines are compared with."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call

from stepladder.augment import normalise, resample
from stepladder.spec import Join, Layer, Network, Shape, UserError, layers
from stepladder.spec.layers import (
    ELU,
    GELU,
    Activation,
    AvgPool,
    BatchNorm,
    BlurPool,
    Branch,
    Concat,
    Conv,
    Excite,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool,
    Multiply,
    Norm,
    PReLU,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    SiLU,
    Tanh,
)
from stepladder.streams import stream


class Dropout(nn.Module):
    """Zeroes a share of the activations and scales the rest by 1 / (1 - share), with draws from a generator of its own
    (Srivastava et al. 2014, inverted)."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        super().__init__()
        self.share, self.generator = share, generator

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; the identity when not training."""
        if not self.training:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept.div_(1 - self.share)

    def extra_repr(self) -> str:
        """The share, for print(module)."""
        return str(self.share)


class Dropout2d(nn.Module):
    """Zeroes a share of each image's channels and scales the rest by 1 / (1 - share), with draws from a generator of its own
    (Tompson et al. 2015, inverted); of flat features each is a channel."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        super().__init__()
        self.share, self.generator = share, generator

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; the identity when not training."""
        if not self.training:
            return x
        kept = torch.empty_like(x[:, :, :1, :1] if x.dim() == 4 else x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept.div_(1 - self.share)

    def extra_repr(self) -> str:
        """The share, for print(module)."""
        return str(self.share)


class Blur(nn.Module):
    """A fixed filter over every channel: the outer product of `weights`, of odd length, with itself; zeros on the border."""

    def __init__(self, channels: int, weights: list[float], stride: int) -> None:
        super().__init__()
        self.channels, self.stride, self.padding = channels, stride, len(weights) // 2
        line = torch.tensor(weights)
        self.register_buffer("weight", torch.outer(line, line).expand(channels, 1, -1, -1).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width), every `stride`-th row and column of it filtered."""
        return F.conv2d(x, self.get_buffer("weight"), stride=self.stride, padding=self.padding, groups=self.channels)


class Sum(nn.Module):
    """Of two tensors of one shape."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """The same shape."""
        return x + source


class Fork(nn.Module):
    """The second of two tensors."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """The same tensor."""
        return source


class Stack(nn.Module):
    """The channels or features of `source`, then those of x."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """The shape of both but for the sum of their channels."""
        return torch.cat([source, x], 1)


class Product(nn.Module):
    """Of two tensors of one shape, or of `source` (n, channels, height, width) and x (n, channels) or (n, channels, 1, 1)."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """The shape of `source`."""
        return (x if x.dim() == source.dim() else x[:, :, None, None]) * source


class Scale(Product):
    """Each channel of `source` (n, channels, height, width) times the sigmoid of x (n, channels) or (n, channels, 1, 1)."""

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """The shape of `source`."""
        return super().forward(torch.sigmoid(x), source)


class Chain(nn.Sequential):
    """Modules in order; those that `sources` names are also given what entered an earlier one, by its name."""

    def __init__(self, modules: OrderedDict[str, nn.Module], sources: dict[str, str]) -> None:
        super().__init__(modules)
        self.sources = sources

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of a float32 batch (n, channels, height, width)."""
        return deque(self.through(x), maxlen=1).pop()

    def through(self, x: Tensor) -> Iterator[Tensor]:
        """What each module makes of a batch, in turn."""
        entered = {}
        for name, module in self.named_children():
            if name in self.sources.values():
                entered[name] = x
            x = module(x, entered[self.sources[name]]) if name in self.sources else module(x)
            yield x


def build(network: Network, dropout: float, generator: torch.Generator) -> Chain:
    """The plain torch module of a network; parameters as torch initialises them (draw them with `initialise`).

    Layers are named by kind and number: conv1, norm1, relu1, pool1, dropout1, conv2, ...
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    shapes = network.shapes()
    count: dict[str, int] = {}
    begins: list[str] = []  # the name of each layer's first module
    sources = {}

    def add(kind: str, module: nn.Module) -> str:
        count[kind] = count.get(kind, 0) + 1
        modules[name := f"{kind}{count[kind]}"] = module
        return name

    for number, (layer, before) in enumerate(zip(network.layers, shapes, strict=False)):
        first, *_ = [add(kind, module) for kind, module in _drops(layer, generator) or _modules(layer, before)]
        begins.append(first)
        if isinstance(layer, Join):
            sources[first] = begins[number - layer.layers]
        if dropout and network.drops_after(number):
            add("dropout", Dropout(dropout, generator))
    return Chain(modules, sources)


def lend(module: nn.Module, network: Network, names: Sequence[str], dropout: float, generator: torch.Generator) -> None:
    """Make the forward of a module that of a network which computes the same, on the module's own tensors: `names` are those of
    the tensors in the state dict of the network's plain module, in its order."""
    chain = build(network, dropout, generator)
    vars(module)["forward"] = partial(_borrowing, chain, dict(zip(chain.state_dict(), names, strict=True)), module)


def runs(model: nn.Module) -> bool:
    """Whether a model's forward is that of layers which are known here, and draws from their generator alone."""
    return isinstance(model, Chain) or getattr(vars(model).get("forward"), "func", None) is _borrowing


def _borrowing(chain: Chain, names: dict[str, str], module: nn.Module, x: Tensor) -> Tensor:
    """The forward of a chain on the tensors that a module has under other names."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    chain.train(module.training)
    logits: Tensor = functional_call(chain, {own: tensors[name] for own, name in names.items()}, (x,))
    return logits


def use_threads(count: int) -> None:
    """Torch runs on `count` threads from now on."""
    torch.set_num_threads(count)


def batch(images: Tensor, chosen: Tensor, maps: Tensor | None, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images (n, channels, height, width), uint8, at the indices `chosen` (int64), through their maps (chosen, 2, 3) if any.

    Returns (chosen, channels, height, width), float32, resampled once, with each channel's mean and deviation removed.
    """
    levels = images[chosen]
    return normalise(levels if maps is None else resample(levels, maps), mean, std)


def _drops(layer: Layer, generator: torch.Generator) -> list[tuple[str, nn.Module]]:
    if isinstance(layer, layers.Dropout):
        return [("dropout", Dropout(layer.share, generator))]
    if isinstance(layer, layers.Dropout2d):
        return [("dropout", Dropout2d(layer.share, generator))]
    return []


def _modules(layer: Layer, before: Shape) -> list[tuple[str, nn.Module]]:
    norm, activation = getattr(layer, "norm", None), getattr(layer, "activation", None)
    if norm not in ("batch", None) or activation not in ("relu", None):
        raise UserError(f"{layer}: no torch module is known for its norm or activation")
    relu = [("relu", nn.ReLU(inplace=True))] if activation else []
    if isinstance(layer, Conv):
        window = (layer.kernel, layer.stride, layer.padding, layer.dilation)
        conv = nn.Conv2d(before[0], layer.channels, *window, groups=layer.groups, bias=layer.bias)
        return [("conv", conv), *([("norm", nn.BatchNorm2d(layer.channels))] if norm else []), *relu]
    if isinstance(layer, MaxPool):
        return [("pool", nn.MaxPool2d(layer.kernel, layer.step, layer.padding))]
    if isinstance(layer, AvgPool):
        return [("pool", nn.AvgPool2d(layer.kernel, layer.step, layer.padding))]
    if isinstance(layer, BlurPool):
        return [("blur", Blur(before[0], layer.weights, layer.stride))]
    if isinstance(layer, Norm):
        return [("norm", _norm(layer, before))]
    if isinstance(layer, Activation):
        return [_activation(layer, before)]
    if isinstance(layer, Residual):
        return [("sum", Sum()), *relu]
    if isinstance(layer, Branch):
        return [("branch", Fork())]
    if isinstance(layer, Concat):
        return [("cat", Stack())]
    if isinstance(layer, Multiply):
        return [("product", Product())]
    if isinstance(layer, Excite):
        return [("scale", Scale())]
    if isinstance(layer, GlobalAvgPool):
        return [("average", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    if isinstance(layer, Linear):
        return [("linear", nn.Linear(prod(before), layer.features, bias=layer.bias)), *relu]
    if isinstance(layer, Flatten):
        return [("flatten", nn.Flatten())]
    raise UserError(f"{layer}: no torch module is known for it")


def _norm(layer: Norm, before: Shape) -> nn.Module:
    match layer:
        case BatchNorm():
            return (nn.BatchNorm2d if len(before) == 3 else nn.BatchNorm1d)(before[0], layer.epsilon, layer.momentum)
        case GroupNorm():
            return nn.GroupNorm(layer.groups, before[0], layer.epsilon)
        case LayerNorm():
            return nn.LayerNorm(before, layer.epsilon)


def _activation(layer: Activation, before: Shape) -> tuple[str, nn.Module]:
    match layer:
        case ReLU():
            return "relu", nn.ReLU()
        case LeakyReLU():
            return "leaky_relu", nn.LeakyReLU(layer.slope)
        case PReLU():
            return "prelu", nn.PReLU(before[0] if layer.per_channel else 1)
        case ReLU6():
            return "relu6_", nn.ReLU6()  # relu6_1: no number makes a ReLU of that name
        case ELU():
            return "elu", nn.ELU(layer.alpha)
        case SiLU():
            return "silu", nn.SiLU()
        case HardSwish():
            return "hard_swish", nn.Hardswish()
        case GELU():
            return "gelu", nn.GELU()
        case Tanh():
            return "tanh", nn.Tanh()
        case Sigmoid():
            return "sigmoid", nn.Sigmoid()


def initialise(module: nn.Module, seed: int) -> None:
    """Draw the weights of convolutions and linear layers, each from a stream of its own, as torch's defaults do.

    Uniform within 1 / sqrt(fan-in) (torch.nn.Conv2d, torch.nn.Linear; He et al. 2015 with a = sqrt(5)). A layer of
    the same name and shape has the same weights in every network.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=stream(seed, "weights", name, "weight"))
                if layer.bias is not None:
                    layer.bias.uniform_(-bound, bound, generator=stream(seed, "weights", name, "bias"))
