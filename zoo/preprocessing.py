"""preprocessing.json: how a picture becomes a model's input. Written beside the weights, for who sends requests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Preprocessing(BaseModel):
    """Grey levels [rows, height, width] uint8 -> float32 pixels: resized, scaled to 0..1, normalised per channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    layout: Literal["NCHW", "NHWC"] = Field(description="order of the axes: rows, channels, height, width")
    size: tuple[int, int] = Field(description="height and width")
    interpolation: Literal["bilinear"] = Field("bilinear", description="how it is resized (antialiased)")
    mean: tuple[float, ...] = Field(description="subtracted, one per channel; the grey level is repeated")
    std: tuple[float, ...] = Field(description="divided by, one per channel")
