"""One flat record per request, appended to columns and written as Parquet parts while running.

Memory stays flat: a part is written whole (then renamed) every ``PART`` records and at the end of a stage, so
whatever was measured before a kill can be read. Of the answers a seeded reservoir per stage is kept raw.
"""

from __future__ import annotations

import os
import random
from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.records import SCHEMA, answer_frame

PART = 100_000
INTEGERS = ("stage", "rows", "intended_ns", "sent_ns", "done_ns", "status", "bytes_sent", "bytes_received")


class Recorder:
    """Collects the records of one worker for one variant."""

    def __init__(self, directory: Path, variant: str, worker: int, answers: int, sampling_seed: int) -> None:
        self._directory = directory
        self._variant = variant
        self._worker = worker
        self._answers = answers
        self._random = random.Random(sampling_seed)
        self._part = 0
        self._integers = {name: array("q") for name in INTEGERS}
        self._payloads: list[str] = []
        self._errors: list[str] = []
        self._kept: list[bytes] = []
        self._seen = 0

    def add(
        self,
        stage: int,
        payload: str,
        rows: int,
        intended_ns: int,
        sent_ns: int,
        done_ns: int,
        status: int,
        error: str,
        bytes_sent: int,
        bytes_received: int,
    ) -> None:
        """Append one record."""
        columns = self._integers
        columns["stage"].append(stage)
        columns["rows"].append(rows)
        columns["intended_ns"].append(intended_ns)
        columns["sent_ns"].append(sent_ns)
        columns["done_ns"].append(done_ns)
        columns["status"].append(status)
        columns["bytes_sent"].append(bytes_sent)
        columns["bytes_received"].append(bytes_received)
        self._payloads.append(payload)
        self._errors.append(error)
        if len(self._payloads) >= PART:
            self._write_part()

    def offer(self, stage: int, payload: str, headers: dict[str, str], body: bytes) -> None:
        """Offer a good answer to the stage's reservoir (Vitter's algorithm R: each has the same chance)."""
        self._seen += 1
        if len(self._kept) < self._answers:
            self._kept.append(answer_frame(stage, payload, headers, body))
            return
        place = self._random.randrange(self._seen)
        if place < self._answers:
            self._kept[place] = answer_frame(stage, payload, headers, body)

    def flush(self) -> None:
        """End a stage: write what is buffered and the stage's sampled answers."""
        if self._payloads:
            self._write_part()
        if self._kept:
            with (self._directory / f"answers-{self._variant}-{self._worker}.bin").open("ab") as file:
                file.write(b"".join(self._kept))
        self._kept, self._seen = [], 0

    def _write_part(self) -> None:
        count = len(self._payloads)
        columns: dict[str, object] = {name: pa.array(values, pa.int64()) for name, values in self._integers.items()}
        columns["variant"] = pa.array([self._variant] * count)
        columns["worker"] = pa.array([self._worker] * count)
        columns["payload"] = pa.array(self._payloads)
        columns["error"] = pa.array(self._errors)
        table = pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)
        target = self._directory / f"requests-{self._variant}-{self._worker}-{self._part:05d}.parquet"
        temporary = target.with_suffix(".tmp")
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, target)
        self._part += 1
        self._integers = {name: array("q") for name in INTEGERS}
        self._payloads, self._errors = [], []
