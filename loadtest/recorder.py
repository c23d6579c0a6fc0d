"""One flat record per request, appended to columns and written as Parquet parts while running.

Memory stays flat: a part is written whole every ``PART`` records and at the end of a stage, so whatever was measured
before a kill can be read. Of the answers a seeded reservoir per stage is kept raw. Where the files go is the sink's
business: a folder, or the master's folder on another machine.
"""

from __future__ import annotations

import io
import os
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.records import SCHEMA, answer_frame
from loadtest.clients import Reply
from loadtest.payloads import Request

PART = 100_000
INTEGERS = (
    "stage",
    "rows",
    "intended_ns",
    "sent_ns",
    "first_byte_ns",
    "done_ns",
    "status",
    "retries",
    "bytes_sent",
    "bytes_received",
)
TIMES = ("intended_ns", "sent_ns", "first_byte_ns", "done_ns")

Sink = Callable[[str, bytes, bool], None]  # name of the file, its bytes or more of them, whether they are appended


def folder_sink(folder: Path) -> Sink:
    """Write into a folder: a whole file by one rename, or more bytes at a file's end."""

    def write(name: str, data: bytes, append: bool) -> None:
        target = folder / name
        if append:
            with target.open("ab") as file:
                file.write(data)
            return
        temporary = target.with_name(f"{name}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, target)

    return write


class Recorder:
    """Collects the records of one load process for one variant. ``shift_ns`` is added to its clock's times."""

    def __init__(self, variant: str, worker: int, answers: int, sampling_seed: int, sink: Sink) -> None:
        self.shift_ns = 0
        self._variant = variant
        self._worker = worker
        self._answers = answers
        self._random = random.Random(sampling_seed)
        self._sink = sink
        self._part = 0
        self._kept: list[bytes] = []
        self._seen = 0
        self._start_part()

    def _start_part(self) -> None:
        self._integers = {name: array("q") for name in INTEGERS}
        self._payloads: list[str] = []
        self._errors: list[str] = []
        # Bound once per part: the hot path appends, and looks nothing up.
        columns = self._integers
        self._append = tuple(columns[name].append for name in INTEGERS)

    def add(self, stage: int, request: Request, intended_ns: int, sent_ns: int, done_ns: int, reply: Reply) -> None:
        """Append one record."""
        put = self._append
        put[0](stage)
        put[1](request.rows)
        put[2](intended_ns)
        put[3](sent_ns)
        put[4](reply.first_byte_ns)
        put[5](done_ns)
        put[6](reply.status)
        put[7](reply.retries)
        put[8](len(request.body))
        put[9](len(reply.body))
        self._payloads.append(request.key)
        self._errors.append(reply.error)
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
            self._sink(f"answers-{self._variant}-{self._worker}.bin", b"".join(self._kept), True)
        self._kept, self._seen = [], 0

    def _write_part(self) -> None:
        count = len(self._payloads)
        columns: dict[str, object] = {}
        for name, values in self._integers.items():
            column = pa.array(values, pa.int64())
            columns[name] = self._in_masters_time(column) if self.shift_ns and name in TIMES else column
        columns["variant"] = pa.array([self._variant] * count)
        columns["worker"] = pa.array([self._worker] * count)
        columns["payload"] = pa.array(self._payloads)
        columns["error"] = pa.array(self._errors)
        table = pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self._sink(f"requests-{self._variant}-{self._worker}-{self._part:05d}.parquet", buffer.getvalue(), False)
        self._part += 1
        self._start_part()

    def _in_masters_time(self, column: pa.Array) -> pa.Array:
        values = column.to_numpy()
        return pa.array(values + self.shift_ns * (values != 0), pa.int64())
