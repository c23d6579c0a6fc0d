"""Preprocessing with torchvision's transforms, built from a model's preprocessing.json."""

from __future__ import annotations

import torch
from torchvision.transforms import InterpolationMode, v2

from contract.tensors import Array
from zoo.digits import Images
from zoo.preprocessing import Preprocessing


def transform(plan: Preprocessing) -> v2.Compose:
    """The torchvision transform of tensors [rows, 1, height, width] uint8."""
    steps: list[torch.nn.Module] = [v2.Grayscale(len(plan.mean))]
    steps += [v2.Resize(list(plan.size), InterpolationMode(plan.interpolation), antialias=True)]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(plan.mean), list(plan.std))]
    return v2.Compose(steps)


def prepare(plan: Preprocessing, images: Images) -> Array:
    """Pictures [rows, height, width] -> pixels float32."""
    pixels: torch.Tensor = transform(plan)(torch.from_numpy(images).unsqueeze(1))
    if plan.layout == "NHWC":
        pixels = pixels.permute(0, 2, 3, 1)
    array: Array = pixels.contiguous().numpy()
    return array
