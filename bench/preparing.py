"""Exports in a workspace of their own: what every benchmark of servers begins with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.config import read_config
from contract.errors import LoadproofError, UsageError, nearest
from contract.golden import Example, read_examples
from contract.manifest import GOLDEN, Manifest, read_newest
from contract.progress import say

MODEL = "sentiment_torch"  # where nobody names another


def prepare(
    config: Path, given: Path | None, root: Path, model: str = MODEL, formats: Sequence[str] = ("onnx",)
) -> tuple[Path, Manifest]:
    """The model's export: copied from the workspace ``given``, or made by the real commands.

    Raises LoadproofError where one of the formats is not proven.
    """
    root.mkdir()
    (root / "models.toml").write_text(one_model(config, model, formats))
    _artifacts([model], given, root, ["zoo", model], ["export"])
    directory, manifest = read_newest(root / "artifacts" / model)
    for form in formats:
        record = manifest.formats.get(form)
        if record is None or not record.ok or record.path is None:
            status = record.status if record else "not there"
            raise LoadproofError(f"the {form} export of {model} is {status}; run 'make export' again")
    return directory, manifest


def prepare_group(config: Path, given: Path | None, root: Path, group: str) -> dict[str, tuple[Path, Manifest]]:
    """The exports of a whole group, by model: copied, or made by the real commands."""
    root.mkdir()
    shutil.copy2(config, root / "models.toml")
    models = list(read_config(config).group(group))
    _artifacts(models, given, root, ["zoo", "--group", group], ["export", "--group", group])
    return {model: read_newest(root / "artifacts" / model) for model in models}


def _artifacts(models: Sequence[str], given: Path | None, root: Path, *commands: list[str]) -> None:
    """Copy the artifacts of these models from the workspace ``given``, or run the commands that make them."""
    if given is not None:
        for model in models:
            read_newest(given / "artifacts" / model)
            shutil.copytree(given / "artifacts" / model, root / "artifacts" / model)
        return
    for command in commands:
        words = [*command, "--config", str(root / "models.toml"), "--workspace", str(root)]
        say(f"python -m {' '.join(words)}")
        ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise LoadproofError(f"python -m {command[0]} ended with {ended.returncode}: {ended.stderr[-500:]}")


def one_row(directory: Path) -> Example:
    """The first golden request of one row."""
    return next(example for example in read_examples(directory / GOLDEN) if example.rows == 1)


def one_model(config: Path, model: str, formats: Sequence[str] = ("onnx",)) -> str:
    """models.toml with this one model, exported to and served in these formats alone.

    Raises UsageError for a model that the file does not have.
    """
    document = tomllib.loads(config.read_text())
    known = document["models"]
    if model not in known:
        hint = nearest(model, list(known)) or f": one of {', '.join(known)}"
        raise UsageError(f"{config} has no model '{model}'{hint}")
    section = known[model] | {"formats": list(formats), "serve": list(formats)}
    lines = [f"{key} = {_toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    return "\n".join([*lines, f"models = {_toml({model: section})}", ""])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)  # strings, numbers and booleans are written alike
