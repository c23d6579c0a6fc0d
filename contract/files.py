"""Files as the stages hand them over: written whole or not at all, named by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from contract.errors import UsageError

M = TypeVar("M", bound=BaseModel)


def write_bytes(path: Path, data: bytes, lasting: bool = True) -> None:
    """Write ``data`` to ``path`` atomically: a reader sees the old file or the whole new one.

    What is not ``lasting`` is not waited for until it is on the disk: files by the hundred that each start makes anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document that a person can read, atomically. Pydantic models are accepted."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_model(path: Path, kind: type[M], made_by: str) -> M:
    """Read a border file; when it is missing, say which command (``made_by``) makes it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; run '{made_by}' first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; remake it with '{made_by}'") from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not a valid {kind.__name__.lower()} file: {error}; remake it with '{made_by}'"
        ) from None
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path} is not a valid {kind.__name__.lower()} file: {where or 'document'}: {first['msg']}; "
            f"remake it with '{made_by}'"
        ) from None


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder to where there is none. Raises OSError that says what the machine refused.

    `shutil.copytree` gathers such errors into one that no longer does.
    """
    target.mkdir()
    for folder, folders, files in os.walk(source, onerror=_refused, followlinks=True):
        inside = target / Path(folder).relative_to(source)
        for name in folders:
            (inside / name).mkdir()
        for name in files:
            shutil.copy2(Path(folder) / name, inside / name)


def _refused(error: OSError) -> None:
    raise error


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of one file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(path: Path) -> str:
    """SHA-256 of a file, or of a directory's sorted relative names and contents. Raises FileNotFoundError."""
    if not path.is_dir():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()
