"""tuned.toml: the settings that were found, as tables of models.toml with only the keys that differ. Pure texts.

The file is the project's own: a model's block is replaced when it is tuned again, the blocks of other models stay.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from contract.batching import Value
from contract.tuned import FILE
from tune.configuration.climb import Configuration

HEAD = f"""# {FILE}: found by `python -m tune configure`, which rewrites it.
# Take it over into models.toml, or serve with it: python -m serving up --use {FILE}
"""
BLOCK = re.compile(r"^# tuned: (\S+)$", re.MULTILINE)
BARE = re.compile(r"^[A-Za-z0-9_-]+$")


def changed(start: Configuration, best: Configuration) -> dict[str, Value]:
    """The settings of the best that differ from the start's."""
    return {name: value for name, value in best.items() if value != start[name]}


def block(model: str, settings: Mapping[str, Value], words: list[str]) -> str:
    """One model's part of the file; ``words`` say what measured it."""
    lines = [f"# tuned: {model}", *(f"# {line}" for line in words), f"[models.{_key(model)}.batching]"]
    return "\n".join([*lines, *assignments(settings)]) + "\n"


def with_block(text: str, model: str, fresh: str) -> str:
    """The whole file with a model's block put in or replaced; ``text`` is the file as it is, empty where it is not."""
    blocks = _blocks(text) | {model: fresh}
    return "\n".join([HEAD, *(blocks[name] for name in sorted(blocks))])


def difference(model: str, start: Configuration, best: Configuration) -> str:
    """What the best changes in models.toml, as a diff of the model's table; defaults are written out."""
    new = changed(start, best)
    old = {name: start[name] for name in new}
    title = f"[models.{_key(model)}.batching]"
    before, after = ([title, *assignments(settings)] for settings in (old, new))
    return "\n".join(difflib.unified_diff(before, after, "models.toml", FILE, lineterm=""))


def assignments(settings: Mapping[str, Value]) -> list[str]:
    """Keys and values as TOML; they are integers, booleans and lists of integers only."""
    return [f"{name} = {_value(value)}" for name, value in settings.items()]


def _value(value: Value) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value).lower()


def _key(name: str) -> str:
    """A name as a part of a TOML key: with a dot in it, it has to be quoted."""
    return name if BARE.match(name) else f'"{name}"'


def _blocks(text: str) -> dict[str, str]:
    """Model -> its block, from the line that begins it to the next one's."""
    parts = BLOCK.split(text)
    return {name: f"# tuned: {name}{rest.rstrip()}\n" for name, rest in zip(parts[1::2], parts[2::2], strict=True)}
