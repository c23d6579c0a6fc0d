"""card.json: how good a model of the zoo is, and on what data. Written last: its existence means trained."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from contract.manifest import Entry

CARD = "card.json"


class Card(Entry):
    """zoo/out/<model>/card.json."""

    schema_version: int
    model: str = Field(description="name in models.toml")
    about: str = Field(description="the task and its data, in a sentence")
    note: str = Field(description="what a reader has to know about the weights; mostly empty")
    accuracy: float = Field(description="share of test rows answered rightly")
    majority_baseline: float = Field(description="share that always answering the most frequent class gets right")
    test_rows: int = Field(description="size of the test part")
    train_rows: int = Field(description="size of the training part")
    data_sha256: str = Field(description="of the archive that holds the data")
    seed: int = Field(description="of initial weights and batches")
    seconds: float = Field(description="training time, the log included")
    cpu_seconds: float = Field(description="the same in processor time: what it costs on a busy machine")
    versions: dict[str, str] = Field(description="packages that trained it")


def trained(directory: Path) -> bool:
    """Whether a model of the zoo is there, whole, and as this version of the zoo makes it."""
    try:
        Card.model_validate_json((directory / CARD).read_bytes())
    except (OSError, ValidationError):
        return False
    return True
