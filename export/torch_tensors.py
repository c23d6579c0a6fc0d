"""Arrays as torch takes them."""

from __future__ import annotations

import numpy as np
import torch

from contract.errors import UsageError
from contract.tensors import Array


def tensor(array: Array) -> torch.Tensor:
    """A tensor over the array's memory, scalars as scalars. Raises UsageError for strings."""
    if array.dtype == object:
        raise UsageError("torch has no tensors of strings; string inputs are for SavedModels")
    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
