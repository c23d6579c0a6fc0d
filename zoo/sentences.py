"""Sentences with human ratings of their sentiment, out of a registry package.

The source distribution of vaderSentiment 3.2.1 (MIT) carries the data of Hutto and Gilbert (ICWSM 2014): sentences of
movie and product reviews, each rated from -4 to 4 by 20 people.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from zoo.fetch import Archive

ARCHIVE = Archive(
    "vaderSentiment==3.2.1",
    "vaderSentiment-3.2.1.tar.gz",
    "5dce530a78315563f8b3cd01033bbdd3bf4985fabf359ca68d4167728081c803",
)
INNER = "vaderSentiment-3.2.1/additional_resources/hutto_ICWSM_2014.tar.gz"
TABLES = ("movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt")
CLASSES = ("negative", "positive")
SPLIT_SEED = 14


@dataclass(frozen=True)
class Sentence:
    """One sentence and whether its mean rating is above zero."""

    text: str
    positive: bool


def read_sentences(archive: Path) -> list[Sentence]:
    """Read movie and product sentences, each text once; sentences rated exactly neutral are left out."""
    seen: dict[str, Sentence] = {}
    with tarfile.open(archive) as outer:
        inner = outer.extractfile(INNER)
        if inner is None:
            raise UsageError(f"{archive} does not hold {INNER}")
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as tables:
            for name in TABLES:
                table = tables.extractfile(f"hutto_ICWSM_2014/{name}")
                if table is None:
                    raise UsageError(f"{archive} does not hold {name}")
                for line in table.read().decode("latin-1").splitlines():
                    _, rating, text = line.split("\t", 2)
                    if float(rating) != 0.0:
                        seen.setdefault(text.strip().lower(), Sentence(text.strip(), float(rating) > 0))
    return list(seen.values())
