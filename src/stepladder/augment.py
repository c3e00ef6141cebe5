"""Images in, batches out: affine maps and erased boxes drawn for an epoch, and one bilinear resampling."""

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from stepladder.spec import Affine, Erasing

ASPECT = 10 / 3
"""An erased box is at most so many times as long one way as the other."""


def draw_maps(augmentation: Affine, images: int, generator: torch.Generator) -> Tensor:
    """One affine map for each image, float32 (images, 2, 3), from output to input pixels, both measured from the centre.

    Row 0 gives the input's x, row 1 its y. Each kind of change has draws of its own, so that adding a shift leaves
    the rotations as they were.
    """
    rotate, shift_x, shift_y, scale, shear = (torch.rand(5, images, generator=generator, dtype=torch.float64) * 2 - 1).unbind()
    angle = rotate * math.radians(augmentation.rotate)
    size = 1 / (1 + scale * augmentation.scale)
    slant = (shear * math.radians(augmentation.shear)).tan()
    cos, sin = angle.cos() * size, angle.sin() * size
    rows = [cos, cos * slant + sin, shift_x * augmentation.shift, -sin, cos - sin * slant, shift_y * augmentation.shift]
    return torch.stack(rows, dim=1).reshape(images, 2, 3).float()


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Levels (n, channels, height, width) as a batch of float32 with each channel's mean and deviation, as fractions of 255,
    removed."""
    # A channel at a time: dividing by a number does not give the bits of dividing by a tensor on every device.
    planes = zip(images.unbind(1), mean, std, strict=True)
    return torch.stack([(plane.float() / 255 - middle) / deviation for plane, middle, deviation in planes], dim=1)


def resample(images: Tensor, maps: Tensor) -> Tensor:
    """Levels (n, channels, height, width), uint8, mapped by `draw_maps`' maps: float32, bilinear, 0 outside the image."""
    *_, height, width = images.shape
    grid = functional.affine_grid(maps * _in_halves(height, width, images.device), list(images.shape), align_corners=False)
    return functional.grid_sample(images.float(), grid, "bilinear", "zeros", align_corners=False)


@cache
def _in_halves(height: int, width: int, device: torch.device) -> Tensor:
    """What makes maps of pixels those of affine_grid, which measures from the centre in half images: x * 2 / width, y * 2 / height.
    (Kept: what goes to a GPU anew for each batch is waited for.)"""
    return torch.tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]], device=device)


def draw_boxes(erasing: Erasing, images: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """The box to erase in each image of `size` (height, width): int64 (images, 4) of top, bottom, left and right, the lower and
    right edges outside of it; empty for an image that stays whole."""
    height, width = size
    erased, share, shape, down, along = torch.rand(5, images, generator=generator, dtype=torch.float64).unbind()
    low, high = erasing.area
    area = (low + share * (high - low)) * height * width
    tallest = (height**2 / area).clamp(max=ASPECT)  # height : width, so that the box fits
    flattest = (area / width**2).clamp(min=1 / ASPECT).minimum(tallest)
    aspect = flattest * (tallest / flattest) ** shape
    tall = (area * aspect).sqrt().round().clamp(1, height)
    wide = (area / aspect).sqrt().round().clamp(1, width)
    top, left = (down * (height - tall + 1)).floor(), (along * (width - wide + 1)).floor()
    boxes = torch.stack([top, top + tall, left, left + wide], dim=1).long()
    return boxes * (erased < erasing.probability).unsqueeze(1)


def erase(batch: Tensor, boxes: Tensor) -> Tensor:
    """The batch (n, channels, height, width), normalised, with 0, each channel's mean, in each image's box; in place."""
    top, bottom, left, right = boxes.T[:, :, None]
    rows, columns = (torch.arange(side, device=batch.device) for side in batch.shape[2:])
    inside = ((top <= rows) & (rows < bottom))[:, :, None] & ((left <= columns) & (columns < right))[:, None, :]
    return batch.masked_fill_(inside.unsqueeze(1), 0)
