"""Images in, batches out: affine maps drawn for an epoch, and one bilinear resampling."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from stepladder.spec import Affine


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


def normalise(images: Tensor, mean: float, std: float) -> Tensor:
    """Grey levels (n, height, width) as a batch (n, 1, height, width) of float32 with the given mean and deviation removed."""
    return ((images.float() / 255 - mean) / std).unsqueeze(1)


def resample(images: Tensor, maps: Tensor) -> Tensor:
    """Grey levels (n, height, width), uint8, mapped by `draw_maps`' maps: float32, bilinear, 0 outside the image."""
    height, width = images.shape[1:]
    # affine_grid measures from the centre in half images: x * 2 / width, y * 2 / height.
    ratio = torch.tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]], device=images.device)
    grid = functional.affine_grid(maps * ratio, [len(images), 1, height, width], align_corners=False)
    return functional.grid_sample(images.float().unsqueeze(1), grid, "bilinear", "zeros", align_corners=False).squeeze(1)
