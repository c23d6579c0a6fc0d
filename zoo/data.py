"""Sentences with human ratings of their sentiment, out of a registry package.

The source distribution of vaderSentiment 3.2.1 (MIT) carries the data of Hutto and Gilbert (ICWSM 2014): sentences of
movie and product reviews, each rated from -4 to 4 by 20 people. The archive is fetched once through pip, checked
against its SHA-256, and read in place: nothing is extracted to disk, nothing in it is run by this module.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from contract.files import sha256_file

PACKAGE = "vaderSentiment==3.2.1"
ARCHIVE = "vaderSentiment-3.2.1.tar.gz"
SHA256 = "5dce530a78315563f8b3cd01033bbdd3bf4985fabf359ca68d4167728081c803"
INNER = "vaderSentiment-3.2.1/additional_resources/hutto_ICWSM_2014.tar.gz"
TABLES = ("movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt")
SPLIT_SEED = 14
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Sentence:
    """One sentence and whether its mean rating is above zero."""

    text: str
    positive: bool


def fetch(cache: Path) -> Path:
    """Return the archive's path, asking pip for it when it is not in ``cache``. Raises UsageError on failure."""
    archive = cache / ARCHIVE
    if not archive.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        requirements = cache / "requirements.txt"
        requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        command += ["--no-build-isolation", "--require-hashes", "--dest", str(cache), "-r", str(requirements)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0 or not archive.is_file():
            last = (result.stderr.strip().splitlines() or ["no output"])[-1]
            raise UsageError(
                f"pip could not fetch {PACKAGE} (the example data): {last}; check the network or the package index, "
                f"or put {ARCHIVE} into {cache}"
            )
    found = sha256_file(archive)
    if found != SHA256:
        raise UsageError(f"{archive} has SHA-256 {found}, expected {SHA256}; delete it and run 'make zoo' again")
    return archive


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


def split(sentences: list[Sentence]) -> dict[str, list[Sentence]]:
    """Split once, seeded: 80 % train, 10 % validation, 10 % test."""
    shuffled = sentences[:]
    random.Random(SPLIT_SEED).shuffle(shuffled)
    parts, start, share = {}, 0, 0.0
    for name, part in SHARES.items():
        share += part
        end = round(share * len(shuffled))
        parts[name] = shuffled[start:end]
        start = end
    return parts


def majority_baseline(sentences: list[Sentence]) -> float:
    """Accuracy of always answering the more frequent class."""
    positive = sum(sentence.positive for sentence in sentences) / len(sentences)
    return max(positive, 1 - positive)
