"""Tables of name -> "module:attribute" (or a whole "module"): the seams that grow by a row and a file.

A row is imported when it is chosen and not before, so that choosing `onnx` never imports TensorFlow.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from contract.errors import UsageError, nearest


def choose(table: Mapping[str, str], name: str, what: str) -> Any:
    """Import and return the row ``name`` of ``table``; an unknown name lists the known ones (``what``)."""
    if name not in table:
        raise UsageError(f"unknown {what} '{name}': one of {', '.join(sorted(table))}{nearest(name, list(table))}")
    return load(table[name])


def load(target: str) -> Any:
    """Import ``"package.module:attribute"`` (or ``"package.module"``) and return it; each failure is a sentence."""
    module_name, colon, attribute = target.partition(":")
    if not module_name.strip(".") or module_name.startswith(".") or (colon and not attribute):
        raise UsageError(f"'{target}' is not of the form package.module:attribute")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(
                f"there is no module '{module_name}' (from '{target}') in the current folder, beside models.toml or on "
                "PYTHONPATH; put its folder there, or correct the name"
            ) from error
        raise
    if not attribute:
        return module
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        known = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(f"module '{module_name}' has no attribute '{attribute}'{nearest(attribute, known)}") from error
