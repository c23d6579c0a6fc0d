"""The models.toml of one model that a command line described: written once, kept where a person made it theirs.

Its first line says what follows as it was written, so that a file which somebody edited is known and never overwritten.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from contract.files import write_text

NAMES = ("models.toml", "models.new.toml")  # the second one where the first is somebody's own
MARK = "# As 'python -m export' wrote it: "


def write_described(folder: Path, name: str, entry: dict[str, Any]) -> Path:
    """Write one model as a models.toml into ``folder`` and return the file. One that was edited stays as it is.

    Raises UsageError where both names are taken by files that were edited.
    """
    file = place_in(folder)
    text = toml(name, entry)
    write_text(file, f"{MARK}{_digest(text)}\n{text}")
    return file


def place_in(folder: Path) -> Path:
    """Where the file goes: the first of `NAMES` that is not there, or is as it was written."""
    for file in (folder / name for name in NAMES):
        if not edited(file):
            return file
    raise UsageError(
        f"{folder} holds {' and '.join(NAMES)}, and both were edited, so neither is overwritten: "
        "move the one that you keep to another folder"
    )


def edited(file: Path) -> bool:
    """Whether the file is there and not as this command wrote it."""
    if not file.exists():
        return False
    first, _, rest = file.read_text(encoding="utf-8", errors="replace").partition("\n")
    return first != f"{MARK}{_digest(rest)}"


def toml(name: str, entry: dict[str, Any]) -> str:
    """One model as a models.toml; keys without a value are left out. JSON's strings, numbers and lists are TOML's."""
    lines = ["schema_version = 1", "", f"[models.{json.dumps(name)}]"]
    lines += [f"{key} = {_value(value)}" for key, value in entry.items() if value not in (None, [])]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # TOML takes no surrogate pairs, by which JSON would escape what lies beyond 16 bits, and no DEL as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
