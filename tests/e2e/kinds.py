"""Small models with tensors of every kind, for tests: factories as a user would write them. torch is imported late."""

from __future__ import annotations

from typing import Any


def mixed() -> Any:
    """Several inputs and outputs of several dtypes, of which one is a boolean and one is in half precision."""
    import torch

    class Mixed(torch.nn.Module):
        def forward(
            self, values: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            kept = torch.where(mask, values, torch.zeros_like(values)) * scale.to(torch.float32)
            return kept.sum(dim=1, keepdim=True), (kept > 0.5)

    return Mixed()


def stateful() -> Any:
    """A recurrent cell that takes and gives its state, and a scalar that is a number and no tensor of rows."""
    import torch

    class Stateful(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.cell = torch.nn.Linear(8, 5)

        def forward(
            self, x: torch.Tensor, state: torch.Tensor, gain: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            memory = torch.tanh(self.cell(torch.cat([x, state[0]], dim=1)) * gain.to(torch.float32))
            return memory.sum(dim=1, keepdim=True), torch.stack([memory, state[0]])

    return Stateful()


def words() -> Any:
    """Strings in, numbers and strings out: what only a SavedModel can hold."""
    import tensorflow as tf

    class Words(tf.Module):
        def __call__(self, text: Any) -> dict[str, Any]:
            return {"length": tf.strings.length(text), "lower": tf.strings.lower(text)}

    return Words()
