"""card.json: how good a model of the zoo is, and on what data. Written last: its existence means trained."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contract.manifest import Entry

CARD = "card.json"


class Card(Entry):
    """zoo/out/<model>/card.json."""

    schema_version: int
    model: str = Field(description="name in models.toml")
    accuracy: float = Field(description="share of test sentences answered rightly")
    majority_baseline: float = Field(description="share that always answering the more frequent class gets right")
    test_sentences: int = Field(description="size of the test split")
    train_sentences: int = Field(description="size of the training split")
    vocabulary: int = Field(description="rows of the embedding")
    data_sha256: str = Field(description="of the archive that holds the data")
    seed: int = Field(description="of initial weights and batches")
    seconds: float = Field(description="training time")
    versions: dict[str, str] = Field(description="packages that trained it")


def trained(directory: Path) -> bool:
    """Whether a model of the zoo is there, whole."""
    return (directory / CARD).is_file()
