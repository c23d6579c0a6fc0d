"""TensorBoard's files, written by PyTorch: a run of training and one of validation, whose curves share charts."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, tensorboard_trace_handler

from contract.tensors import Array

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports the lack of a GPU as an error
# The package tensorboard imports TensorFlow where it is installed, unless this module exists: its own switch.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
from torch.utils.tensorboard import SummaryWriter  # noqa: E402

PROFILED = 3  # batches


class Log:
    """The log of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = {name: SummaryWriter(str(folder / name)) for name in ("train", "validation")}

    def figures(self, epoch: int, **runs: Mapping[str, float]) -> None:
        """Scalars of an epoch: ``figures(1, train={...}, validation={...})``, under the names that Keras gives them."""
        for run, figures in runs.items():
            for name, value in figures.items():
                self._runs[run].add_scalar(f"epoch_{name}", value, epoch)

    def weights(self, epoch: int, network: nn.Module) -> None:
        """Histograms of the parameters."""
        for name, parameter in network.named_parameters():
            self._runs["train"].add_histogram(name.replace(".", "/"), parameter.detach(), epoch)

    def graph(self, network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """The graph of one call, and a profile of a few."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer's, about loops
            self._runs["train"].add_graph(network, inputs)
        ready = tensorboard_trace_handler(str(self.folder / "profile"), use_gzip=True)
        with profile(activities=[ProfilerActivity.CPU], on_trace_ready=ready), torch.inference_mode():
            for _ in range(PROFILED):
                network(*inputs)

    def text(self, tag: str, markdown: str) -> None:
        self._runs["train"].add_text(tag, markdown)

    def image(self, tag: str, image: Array) -> None:
        self._runs["train"].add_image(tag, image, dataformats="HWC")

    def close(self) -> None:
        for writer in self._runs.values():
            writer.close()
