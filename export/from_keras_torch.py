"""Keras sources on the torch backend: the native way from Keras to TorchScript.

Keras computes recurrent layers on the CPU in a Python loop over the time steps, which tracing would freeze at the
length of one request. torch's own LSTM and GRU compute the same, keep the length dynamic, and are what Keras itself
uses on a GPU; here they take the place of the loop.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import torch
from keras import activations

from contract.config import Model
from contract.golden import Example
from export.keras_source import build
from export.refused import quoting
from export.torch_tensors import tensor
from export.trained import named_outputs, traced

warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)


class _Network(torch.nn.Module):
    """A Keras model under the declared argument names, its outputs in the declared order."""

    def __init__(self, model: Model, network: Any) -> None:
        super().__init__()
        self.network = network
        self._model = model

    def forward(self, *inputs: torch.Tensor) -> Any:
        names = [spec.name for spec in self._model.inputs]
        given = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=True))
        outputs = tuple(named_outputs(self._model, self.network(given, training=False)).values())
        return outputs[0] if len(outputs) == 1 else outputs


def to_torchscript(model: Model, examples: list[Example], path: Path) -> str:
    """Trace the model on the torch backend; recurrent layers stay dynamic."""
    network = build(model)
    _use_torch_layers(network)
    arguments = tuple(tensor(traced(examples).inputs[spec.name]) for spec in model.inputs)
    with quoting("torch.jit.trace of Keras on the torch backend"), torch.inference_mode():
        script = torch.jit.trace(_Network(model, network).eval(), arguments, check_trace=False)
    torch.jit.save(script, str(path))
    return f"Keras {keras.__version__} on the torch backend, torch.jit.trace"


def _use_torch_layers(network: Any) -> None:
    """Let recurrent layers of standard activations compute with torch._VF.lstm and torch._VF.gru on the CPU too.

    The functions are private to Keras (pinned); where a version has others, layers keep their loop, which the proof
    refuses as a frozen dimension.
    """
    module: Any = sys.modules.get("keras.src.backend.torch.rnn")
    if all(hasattr(module, name) for name in ("_cudnn_lstm", "_fallback_lstm", "_cudnn_gru", "_fallback_gru")):
        module._fallback_lstm = _lstm(module._cudnn_lstm, module._fallback_lstm)
        module._fallback_gru = _gru(module._cudnn_gru, module._fallback_gru)
    for layer in network._flatten_layers():
        if getattr(layer, "use_cudnn", None) is False:
            layer.use_cudnn = "auto"


def _usual(activation: Any, recurrent_activation: Any) -> bool:
    """The activations that torch's layers have built in."""
    return activation is activations.tanh and recurrent_activation is activations.sigmoid


def _lstm(fast: Callable[..., Any], slow: Callable[..., Any]) -> Callable[..., Any]:
    def compute(
        inputs: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any, activation: Any, gate: Any, *rest: Any
    ) -> Any:
        return_sequences, batch_first = rest
        if not _usual(activation, gate) or not batch_first:
            return slow(inputs, h, c, kernel, recurrent, bias, activation, gate, *rest)
        return fast(inputs, h, c, kernel, recurrent, bias, return_sequences, inputs.device)

    return compute


def _gru(fast: Callable[..., Any], slow: Callable[..., Any]) -> Callable[..., Any]:
    def compute(
        inputs: Any, h: Any, kernel: Any, recurrent: Any, bias: Any, activation: Any, gate: Any, return_sequences: bool
    ) -> Any:
        if not _usual(activation, gate):
            return slow(inputs, h, kernel, recurrent, bias, activation, gate, return_sequences)
        return fast(inputs, h, kernel, recurrent, bias, return_sequences, inputs.device)

    return compute
