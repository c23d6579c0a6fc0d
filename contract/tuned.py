"""tuned.toml beside models.toml: the settings that `python -m tune configure` found, and models.toml with them.

It holds tables of models.toml, but only the keys that differ, so whoever reads both gets the person's file with the
measured settings on top. The project writes tuned.toml and never models.toml.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from contract.errors import UsageError, nearest

FILE = "tuned.toml"
TABLES = ("batching", "triton")  # of a model: what may be tuned
Document = dict[str, Any]


def read_merged(config: Path, tuned: Path | None) -> Document:
    """models.toml as a document, with the keys of ``tuned`` on top where one is named.

    Raises UsageError with a sentence for a file that cannot be read, and for a tuned one that holds anything else.
    """
    document = _read(config, "--config")
    return document if tuned is None else merged(document, _read(tuned, "--use"), str(tuned))


def merged(document: Document, tuned: Document, name: str = FILE) -> Document:
    """One document over the other. ``name`` is what the tuned one is called in an error."""
    models = dict(document.get("models", {}))
    foreign = next((key for key in tuned if key != "models"), None)
    if foreign is not None:
        raise UsageError(
            f"{name} holds '{foreign}'; it may hold {' and '.join(f'[models.NAME.{key}]' for key in TABLES)}"
        )
    for model, tables in tuned.get("models", {}).items():
        if model not in models:
            raise UsageError(
                f"{name} is about '{model}', which models.toml does not have{nearest(model, list(models))}"
            )
        other = next((table for table in tables if table not in TABLES), None)
        if other is not None:
            raise UsageError(f"{name} holds 'models.{model}.{other}'; of a model it may hold {' and '.join(TABLES)}")
        models[model] = models[model] | {table: models[model].get(table, {}) | keys for table, keys in tables.items()}
    return document | {"models": models}


def _read(path: Path, flag: str) -> Document:
    """A TOML file. ``flag`` is how a person names another one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; name another file with {flag}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name another file with {flag}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
