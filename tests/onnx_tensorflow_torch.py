"""Write the ONNX files of whole networks, as torch's two exporters make them:
``python -m tests.onnx_tensorflow_torch modern|legacy FOLDER``.

A process of its own: torch and TensorFlow never share one, and pytest imports neither.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

warnings.filterwarnings("ignore")


class TextClassifier(nn.Module):
    """Batch and length are dynamic, both directions count: what layout guesses confuse."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states, (hidden, _) = self.lstm(self.embed(ids))
        return self.head(states.mean(1) + torch.cat([hidden[-2], hidden[-1]], -1)).softmax(-1)


class Convolutions(nn.Module):
    """Plain, grouped, depthwise and transposed convolutions, norms, pools, a residual, and an upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.grouped = nn.Sequential(nn.Conv2d(16, 32, 3, 1, 1, groups=4), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(32, 32, 5, 1, 2, groups=32), nn.GroupNorm(8, 32), nn.Hardswish())
        self.up = nn.ConvTranspose2d(32, 8, 4, 2, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        grouped = self.grouped(self.stem(image))
        mixed = grouped + self.depthwise(grouped)
        large = nn.functional.interpolate(self.up(mixed), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(nn.functional.adaptive_avg_pool2d(large, 1).flatten(1))


class Encoder(nn.Module):
    """A transformer's encoder with a mask that is made from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        padding = ids == 0
        states = self.layers(self.embed(ids), src_key_padding_mask=padding)
        kept = (~padding).unsqueeze(-1).float()
        return self.head((states * kept).sum(1) / kept.sum(1).clamp(min=1.0))


class Rounds(nn.Module):
    """As many rounds as the input asks for, with a branch inside: only scripting keeps these."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, rounds: torch.Tensor) -> torch.Tensor:
        count = int(rounds)
        total = torch.zeros_like(x)
        for index in range(count):
            x = torch.tanh(self.step(x))
            total = total + x * index if bool(x.sum() > 0) else total - x
        return total


TEXT_AXES: dict[str, dict[int, str]] = {"ids": {0: "batch", 1: "length"}}
IMAGE_AXES: dict[str, dict[int, str]] = {"image": {0: "batch", 2: "height", 3: "width"}}


def modern(folder: Path, ids: torch.Tensor, image: torch.Tensor) -> None:
    """torch.export, as the project's own route takes; one file has its weights beside it."""
    for name, network, example, axes in (
        ("text", TextClassifier(), ids, TEXT_AXES),
        ("encoder", Encoder(), ids, TEXT_AXES),
        ("convolutions", Convolutions(), image, IMAGE_AXES),
    ):
        torch.onnx.export(
            network.eval(),
            (example,),
            str(folder / f"{name}.onnx"),
            input_names=list(axes),
            output_names=["score"],
            dynamic_shapes={
                key: {axis: torch.export.Dim(dim) for axis, dim in dims.items()} for key, dims in axes.items()
            },
            opset_version=18,
            dynamo=True,
            external_data=name == "encoder",
            verbose=False,
        )


def legacy(folder: Path, ids: torch.Tensor, image: torch.Tensor) -> None:
    """The exporter of TorchScript, which alone keeps loops and branches."""
    scripted: Any = torch.jit.script(Rounds().eval())
    examples: list[tuple[str, nn.Module, tuple[torch.Tensor, ...], dict[str, dict[int, str]]]] = [
        ("text_legacy", TextClassifier(), (ids,), TEXT_AXES),
        ("convolutions_legacy", Convolutions(), (image,), IMAGE_AXES),
        ("rounds_legacy", scripted, (torch.randn(3, 6), torch.tensor(4)), {"x": {0: "batch"}, "rounds": {}}),
    ]
    for name, network, inputs, axes in examples:
        torch.onnx.export(
            network.eval(),
            inputs,
            str(folder / f"{name}.onnx"),
            input_names=list(axes),
            output_names=["score"],
            dynamic_axes={**axes, "score": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


if __name__ == "__main__":
    torch.manual_seed(3)
    {"modern": modern, "legacy": legacy}[sys.argv[1]](
        Path(sys.argv[2]), torch.randint(1, 50, (4, 7)), torch.randn(2, 3, 32, 48)
    )
