"""What tables say of modules in the styles that people write, against the truth: parameters counted, multiply-accumulates by
torch's own counter, and the receptive field by NaN in the image."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from small_modules import Model, conv
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.flop_counter import FlopCounterMode

from stepladder.anatomy import Size
from stepladder.tracing import trace

SIDE = 24


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


def sides(size: Size) -> tuple[float, float]:
    return size if isinstance(size, tuple) else (size, size)


def shuffle(x: Any, groups: int = 2) -> Any:
    images, channels, height, width = x.size()
    return x.view(images, groups, channels // groups, height, width).transpose(1, 2).contiguous().view(images, -1, height, width)


def halves(m: Any, x: Any) -> Any:
    """A ShuffleNet unit."""
    x = m.stem(x)
    kept, worked = x.chunk(2, dim=1)
    return shuffle(torch.cat((kept, m.branch(worked)), dim=1))


def shortcut(x: Any, more: int) -> Any:
    """The parameter-free shortcut of residual networks on CIFAR-10."""
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more // 2), "constant", 0)


def zero_channels(x: Any, more: int) -> Any:
    x = F.avg_pool2d(x, 1, 2)
    return torch.cat((x, torch.zeros(x.size(0), more, x.size(2), x.size(3), device=x.device)), 1)


def by_rows(m: Any, x: Any) -> Any:
    """A recurrent cell over the rows of an image."""
    state = x.new_zeros(x.size(0), 5)
    for row in range(x.size(2)):
        state = m.cell(x[:, 0, row], state)
    return m.head(state)


def attended(m: Any, x: Any) -> Any:
    """Self-attention over positions, by hand."""
    images, _, height, width = x.shape
    q, k, v = (part(x).flatten(2) for part in (m.q, m.k, m.v))
    weights = torch.softmax(torch.bmm(q.transpose(1, 2), k), dim=-1)
    return x + m.gamma * torch.bmm(v, weights.permute(0, 2, 1)).view(images, -1, height, width)


def patches(m: Any, x: Any) -> Any:
    images, channels, height, width = x.shape
    x = x.reshape(images, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1)
    return m.embed(x.flatten(3)).movedim(-1, 1)


def asserted(m: Any, x: Any) -> Any:
    assert x.ndim == 4
    assert x.shape[1] == 3, "three channels"
    assert x.size(-1) == x.size(-2)
    x = m.conv(x)
    if x.shape[-1] > 20:
        x = F.max_pool2d(x, 2)
    if len(x) > 1_000:
        x = x.chunk(2)[0]
    return x


def unet(m: Any, x: Any) -> Any:
    first = m.one(x)
    return m.out(torch.cat([first, m.up(m.two(F.max_pool2d(first, 2)))], 1))


def split(m: Any, x: Any) -> Any:
    kept, worked = x.split([1, 2], 1)
    return kept + m.conv(worked)


def split_evenly(m: Any, x: Any) -> Any:
    parts = torch.split(m.stem(x), 2, dim=1)
    return torch.cat([parts[1], m.conv(parts[0])], 1)


def gated(m: Any, x: Any) -> Any:
    kept, gate = m.conv(x).chunk(2, 1)
    return kept * torch.sigmoid(gate)


def corners(x: Any) -> Any:
    return torch.cat([x[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], 1)


def spatial_gate(m: Any, x: Any) -> Any:
    return x * torch.sigmoid(m.conv(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)))


def assigned(m: Any, x: Any) -> Any:
    made = torch.zeros(len(x), 5, 24, 24, dtype=x.dtype, device=x.device)
    made[:, :2] = m.conv(x)
    made[:, 2:4, 1:, :-1] = made[:, :2, :-1, 1:]
    return m.last(made)


def tokens(x: Any) -> Any:
    return x.flatten(2).transpose(1, 2)


def normed(m: Any, x: Any) -> Any:
    return F.conv2d(x, (m.w - m.w.mean()) / m.w.std(), padding=1)


def listed(m: Any, x: Any) -> Any:
    return m.conv(x[:, [2, 0]]) + m.conv(x.index_select(1, torch.tensor([0, 1])))


def attend(m: Any, x: Any) -> Any:
    x = tokens(m.conv(x))
    return m.attention(x, x, x)[0].mean(1) if hasattr(m, "attention") else F.scaled_dot_product_attention(x, x, x).mean(1)


GATE = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1), nn.Sigmoid())
HEAD = nn.Linear(5, 2)

MODELS: dict[str, nn.Module] = {
    "mean twice": Model(lambda m, x: m.conv(x).mean(3).mean(2), conv=nn.Conv2d(3, 5, 3)),
    "mean twice, kept": Model(lambda m, x: torch.mean(torch.mean(m.conv(x), dim=-2, keepdim=True), -1), conv=conv(3, 5)),
    "flatten and mean": Model(lambda m, x: m.head(m.conv(x).flatten(2).mean(-1)), conv=conv(3, 5), head=HEAD),
    "view and max": Model(lambda m, x: m.conv(x).view(x.size(0), 5, -1).max(dim=2)[0], conv=conv(3, 5)),
    "sums": Model(lambda m, x: m.conv(x).sum([2, 3]) / 9, conv=conv(3, 2)),
    "view to a map": Model(lambda m, x: m.conv(x.flatten(1).view(-1, 3, 24, 24)), conv=conv(3, 5)),
    "decoder": Model(
        lambda m, x: m.up(m.fc(x.flatten(1)).view(-1, 2, 6, 6)), fc=nn.Linear(1728, 72), up=nn.ConvTranspose2d(2, 1, 4, 2, 1)
    ),
    "channels as images": Model(lambda m, x: m.conv(x.view(-1, 1, 24, 24)).view(-1, 6, 24, 24), conv=conv(1, 2)),
    "shuffled": Model(halves, stem=conv(3, 4), branch=nn.Sequential(conv(2, 2), nn.ReLU(), conv(2, 2))),
    "channel shuffle": nn.Sequential(conv(3, 4), nn.ChannelShuffle(2), conv(4, 2)),
    "split": Model(split, conv=conv(2, 1)),
    "split evenly": Model(split_evenly, stem=conv(3, 4), conv=conv(2, 2)),
    "gated": Model(gated, conv=conv(3, 4)),
    "glu": nn.Sequential(conv(3, 4), nn.GLU(1)),
    "listed channels": Model(listed, conv=conv(2, 2)),
    "assigned channels": Model(assigned, conv=conv(3, 2), last=conv(5, 1)),
    "strided shortcut": Model(lambda m, x: m.conv(x) + shortcut(x, 4), conv=conv(3, 7, stride=2)),
    "zeros as channels": Model(lambda m, x: m.conv(x) + zero_channels(x, 4), conv=conv(3, 7, stride=2)),
    "slices": Model(lambda m, x: m.conv(x[:, :, 1::2, ::2]) + m.other(x[..., ::2, 1::2]), conv=conv(3, 2), other=conv(3, 2)),
    "space to depth": Model(lambda m, x: m.conv(corners(x)), conv=conv(12, 2)),
    "cropped": Model(lambda m, x: m.conv(x) + x[:, :1, 1:-1, 1:-1], conv=nn.Conv2d(3, 1, 3)),
    "windows by hand": Model(lambda m, x: torch.cat([F.pad(x, (1, 1))[:, :, :, i : i + 24] for i in range(3)], 1)),
    "pixel shuffle": nn.Sequential(nn.PixelUnshuffle(2), conv(12, 8), nn.PixelShuffle(2), conv(2, 2)),
    "excited": Model(lambda m, x: x * m.gate(x).expand_as(x), gate=GATE),
    "grey to colour": Model(lambda m, x: m.conv(x[:, :1].repeat(1, 3, 1, 1)), conv=conv(3, 2)),
    "grey expanded": Model(lambda m, x: m.conv(x[:, 0:1].expand(-1, 3, -1, -1)), conv=conv(3, 2)),
    "adaptive, all alike": nn.Sequential(conv(3, 4), nn.AdaptiveAvgPool2d(8)),
    "adaptive": nn.Sequential(nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(7), conv(4, 2)),
    "adaptive max": nn.Sequential(nn.AdaptiveMaxPool2d((5, 9)), nn.Flatten(), nn.Linear(135, 2)),
    "adaptive larger": nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.AdaptiveAvgPool2d(9), conv(4, 2)),
    "power average": nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), nn.LPPool2d(2, 2)),
    "transposed": nn.Sequential(conv(3, 4, stride=2), nn.ConvTranspose2d(4, 3, 4, 2, 1), conv(3, 2)),
    "transposed, uneven": nn.Sequential(conv(3, 4, stride=3), nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1), conv(3, 2)),
    "transposed, dilated": nn.Sequential(nn.ConvTranspose2d(3, 2, 3, 2, dilation=2), nn.MaxPool2d(2)),
    "upsampled": nn.Sequential(conv(3, 4, stride=2), nn.Upsample(scale_factor=2), conv(4, 2)),
    "upsampled and pooled": nn.Sequential(nn.Upsample(scale_factor=2), nn.MaxPool2d(2), conv(3, 2)),
    "upsampled thrice": nn.Sequential(conv(3, 4), nn.Upsample(scale_factor=3, mode="nearest"), conv(4, 2), conv(2, 2)),
    "bilinear": nn.Sequential(conv(3, 4, stride=2), nn.Upsample(scale_factor=2, mode="bilinear"), conv(4, 2)),
    "bicubic": nn.Sequential(conv(3, 4, stride=2), nn.Upsample(scale_factor=2, mode="bicubic"), conv(4, 2)),
    "interpolated": Model(lambda m, x: m.conv(F.interpolate(x, size=(8, 8))), conv=conv(3, 2)),
    "interpolated, uneven": Model(lambda m, x: m.conv(F.interpolate(x, (9, 16), mode="nearest")), conv=conv(3, 2)),
    "corners aligned": Model(
        lambda m, x: m.conv(F.interpolate(m.stem(x), scale_factor=2, mode="bilinear", align_corners=True)),
        stem=conv(3, 2, stride=2),
        conv=nn.Conv2d(2, 2, 1),
    ),
    "u-net": Model(unet, one=conv(3, 4), two=conv(4, 6), up=nn.ConvTranspose2d(6, 4, 2, stride=2), out=nn.Conv2d(8, 3, 1)),
    "conv1d of rows": Model(lambda m, x: m.conv(x[:, 0]), conv=nn.Conv1d(24, 4, 3)),
    "conv1d of pixels": Model(lambda m, x: m.head(m.conv(x.flatten(2)).mean(2)), conv=nn.Conv1d(3, 5, 3), head=HEAD),
    "lstm of rows": Model(lambda m, x: m.head(m.rows(x[:, 0])[0][:, -1, :]), rows=nn.LSTM(24, 5, batch_first=True), head=HEAD),
    "lstm, rows first": Model(lambda m, x: m.head(m.rows(x[:, 0].permute(1, 0, 2))[1][0][-1]), rows=nn.LSTM(24, 5, 2), head=HEAD),
    "gru both ways": Model(lambda m, x: m.rows(x.mean(1))[0].mean(1), rows=nn.GRU(24, 5, bidirectional=True, batch_first=True)),
    "rnn of features": Model(
        lambda m, x: m.rows(tokens(m.conv(x)))[1].squeeze(0), conv=nn.Conv2d(3, 4, 4, 4), rows=nn.RNN(4, 5, batch_first=True)
    ),
    "cells": Model(by_rows, cell=nn.GRUCell(24, 5), head=HEAD),
    "matmul": Model(lambda m, x: x.flatten(1) @ m.w + m.b, w=weight(1728, 4), b=weight(4)),
    "matmul of pooled": Model(lambda m, x: torch.matmul(m.conv(x).mean((2, 3)), m.w), conv=conv(3, 4), w=weight(4, 2)),
    "matmul from the left": Model(lambda m, x: torch.matmul(m.w, x.flatten(2)).view(-1, 5, 24, 24), w=weight(5, 3)),
    "mm of transposed": Model(lambda m, x: x.flatten(1).mm(m.w.t()), w=weight(4, 1728)),
    "addmm": Model(lambda m, x: torch.addmm(m.b, x.mean((2, 3)), m.w.t()), w=weight(4, 3), b=weight(4)),
    "einsum": Model(lambda m, x: torch.einsum("bchw,oc->bohw", m.conv(x), m.w), conv=conv(3, 4), w=weight(5, 4)),
    "einsum with dots": Model(lambda m, x: torch.einsum("...i,ij->...j", m.conv(x), m.w), conv=conv(3, 4), w=weight(24, 4)),
    "linear over channels": Model(
        lambda m, x: m.fc(m.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2), conv=conv(3, 4), fc=nn.Linear(4, 2)
    ),
    "mixer": Model(lambda m, x: m.fc(m.conv(x).flatten(2)).mean(2), conv=nn.Conv2d(3, 4, 4, 4), fc=nn.Linear(36, 6)),
    "self-attention": Model(attended, q=conv(3, 2, 1), k=conv(3, 2, 1), v=conv(3, 3), gamma=weight(1)),
    "multi-head": Model(attend, conv=nn.Conv2d(3, 4, 4, 4), attention=nn.MultiheadAttention(4, 2, batch_first=True)),
    "scaled dot product": Model(attend, conv=nn.Conv2d(3, 4, 4, 4)),
    "patches": Model(patches, embed=nn.Linear(48, 5)),
    "spatial attention": Model(spatial_gate, conv=conv(2, 1, 7)),
    "softmax of positions": Model(lambda m, x: m.conv(x).flatten(2).softmax(-1).view(-1, 2, 24, 24) * x[:, :2], conv=conv(3, 2)),
    "shapes": Model(asserted, conv=conv(3, 2)),
    "weight norm": nn.Sequential(weight_norm(nn.Conv2d(3, 2, 3)), nn.ReLU()),
    "spectral norm": nn.Sequential(spectral_norm(nn.Conv2d(3, 2, 3)), nn.ReLU()),
    "standardised weights": Model(normed, w=nn.Parameter(torch.rand(2, 3, 3, 3))),
    "stacked": Model(lambda m, x: torch.stack([m.one(x), m.two(x)]).sum(0), one=conv(3, 2), two=conv(3, 2, 5)),
    "stacked second": Model(lambda m, x: torch.stack((m.one(x), m.two(x)), dim=1).mean(1), one=conv(3, 2), two=conv(3, 2, 5)),
    "transposed map": Model(lambda m, x: m.conv(x.transpose(2, 3)), conv=nn.Conv2d(3, 2, (1, 5))),
    "flipped": Model(lambda m, x: m.conv(x.flip(3)), conv=conv(3, 2, 5)),
    "rolled": Model(lambda m, x: (m.conv(x) + torch.roll(x[:, :2], 2, -1))[..., 2:], conv=conv(3, 2)),
    "masked": Model(lambda m, x: torch.where(x > 0, m.conv(x), torch.zeros_like(x)), conv=conv(3, 3)),
    "separable": nn.Sequential(nn.Conv2d(3, 3, 3, groups=3, padding=2, dilation=2), nn.ReLU6(), nn.Conv2d(3, 8, 1)),
}


def seen(module: nn.Module) -> tuple[int, int]:
    """Height and width of what the widest position of the last map sees, by NaN in one line of pixels at a time."""
    found = []
    for axis in (2, 3):
        images = torch.rand(SIDE, 3, SIDE, SIDE, dtype=torch.float64)
        images.transpose(1, axis)[range(SIDE), range(SIDE)] = torch.nan
        with torch.no_grad():
            made = module(images).isnan()
        lines = (made.flatten(2) if made.dim() > 2 else made[:, :, None]).any(1).T  # those that each position sees
        lines = lines[lines.any(1)].byte()
        found.append(SIDE - int((lines.argmax(1) + lines.flip(1).argmax(1)).min()))
    return found[0], found[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_the_table_of_a_module_is_true(name: str) -> None:
    module = MODELS[name].eval()
    rows = trace(module, (3, SIDE, SIDE))
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in module.parameters())
    with FlopCounterMode(display=False) as counter:
        deepcopy(module).to("meta")(torch.empty(1, 3, SIDE, SIDE, device="meta"))
    assert sum(row.macs for row in rows) == counter.get_total_flops() // 2
    assert tuple(min(side, SIDE) for side in sides(rows[-1].rf_out)) == seen(deepcopy(module).double())


LAYERS: list[Callable[[], nn.Module]] = [
    *(lambda kernel=kernel, stride=stride: nn.Conv2d(3, 3, kernel, stride) for kernel in (1, 2, 3) for stride in (1, 2)),
    lambda: nn.Conv2d(3, 3, (1, 3), dilation=2),
    lambda: nn.MaxPool2d(2),
    lambda: nn.AvgPool2d((1, 3), (2, 1)),
    lambda: nn.Upsample(scale_factor=2),
    lambda: nn.Upsample(scale_factor=(1, 3)),
    lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    *(lambda k=k, s=s, p=p: nn.ConvTranspose2d(3, 3, k, s, p) for k, s, p in ((2, 2, 0), (3, 2, 1), (4, 2, 1), (5, 3, 1))),
    lambda: nn.ZeroPad2d((1, 0, 2, 0)),
    lambda: nn.AdaptiveAvgPool2d((7, 9)),
    lambda: Model(lambda m, x: x[:, :, 1::2, ::3]),
    lambda: Model(lambda m, x: m.conv(x.flip(2).transpose(2, 3)), conv=nn.Conv2d(3, 3, (2, 1))),
    lambda: nn.Sequential(nn.Conv2d(3, 12, 1), nn.PixelShuffle(2)),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4))
def test_no_position_sees_more_than_the_table_says_and_one_sees_as_much(layers: list[Callable[[], nn.Module]]) -> None:
    module = nn.Sequential(*(layer() for layer in layers)).double().eval()
    try:
        with torch.no_grad():
            places = module(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)).shape[2:]
    except RuntimeError:
        reject()  # a map smaller than a window
    assume(max(places) < 200)
    said, found = sides(trace(module, (3, SIDE, SIDE))[-1].rf_out), seen(module)
    for most, one in zip(said, found, strict=True):
        assert one <= most
        assert one == min(most, SIDE) or min(places) < 12
