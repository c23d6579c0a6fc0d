"""Means over the tokens of a text: padding has no say in them, however much of it there is."""

from __future__ import annotations

import torch


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of [batch, length, width] over the positions where ``mask`` [batch, length] is true -> [batch, width]."""
    weights = mask.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
