"""Preprocessing with Keras's layers, built from a model's preprocessing.json."""

from __future__ import annotations

import keras
import numpy as np

from contract.tensors import Array
from zoo.digits import Images
from zoo.preprocessing import Preprocessing


def transform(plan: Preprocessing) -> keras.Sequential:
    """The Keras layers for tensors [rows, height, width, channels] of grey levels."""
    std = np.array(plan.std)
    return keras.Sequential(
        [
            keras.layers.Resizing(*plan.size, interpolation=plan.interpolation, antialias=True),
            keras.layers.Rescaling((1 / 255 / std).tolist(), (-np.array(plan.mean) / std).tolist()),
        ]
    )


def prepare(plan: Preprocessing, images: Images) -> Array:
    """Pictures [rows, height, width] -> pixels float32."""
    grey = np.repeat(images[..., np.newaxis], len(plan.mean), axis=-1).astype(np.float32)
    pixels: Array = transform(plan).predict(grey, verbose=0)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if plan.layout == "NCHW" else pixels
