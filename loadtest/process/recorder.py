"""One flat record per request, appended to columns and written as Parquet parts while running.

Memory stays flat: a part is written whole every ``PART`` records and at the end of a stage, so whatever was measured
before a kill can be read. Encoding a part is a native thread's work, for whoever sends on time must not wait for it
(bench/README.md). Of the answers a seeded reservoir per stage is kept raw. Where the files go is the sink's business: a
folder, or the master's folder on another machine.
"""

from __future__ import annotations

import io
import os
import random
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import gevent
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contract.errors import UsageError
from contract.records import SCHEMA, answer_frame
from loadtest.clients import Reply
from loadtest.plan.payloads import Request

PART = 50_000
PART_S = 30.0  # or so long, where requests are few
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
        if (folder / name).resolve().parent != folder.resolve():  # the name may come from another machine
            raise UsageError(f"'{name}' is not the name of a file in {folder}; nothing was written")
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
        self._writing = 0
        self._names: dict[str, int] = {}  # key of a request -> its number in this recorder's dictionaries
        self._classes: dict[str, int] = {}  # class of a failure -> its number
        self._kept: list[bytes] = []
        self._seen = 0
        self._start_part()

    def _start_part(self) -> None:
        self._columns = {name: array("q") for name in INTEGERS}
        self._payloads = array("i")
        self._errors = array("i")
        # Bound once per part: the hot path appends, and looks nothing up.
        self._append = tuple(self._columns[name].append for name in INTEGERS)
        self._begun = time.monotonic()

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
        self._payloads.append(self._names.setdefault(request.key, len(self._names)))
        self._errors.append(self._classes.setdefault(reply.error, len(self._classes)))
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
        while self._writing:  # parts that other greenlets have begun
            gevent.sleep(0.001)
        if self._kept:
            self._sink(f"answers-{self._variant}-{self._worker}.bin", b"".join(self._kept), True)
        self._kept, self._seen = [], 0

    def flush_old(self) -> None:
        """Write a part that was begun long ago, so that a slow load loses little by a kill."""
        if self._payloads and time.monotonic() - self._begun > PART_S:
            self._write_part()

    def _write_part(self) -> None:
        name = f"requests-{self._variant}-{self._worker}-{self._part:05d}.parquet"
        table = self._table()
        self._part += 1
        self._start_part()
        self._writing += 1
        try:
            # Only the greenlet that filled the part waits; the others go on with the next one.
            self._sink(name, gevent.get_hub().threadpool.apply(encode, (table,)), False)
        finally:
            self._writing -= 1

    def _table(self) -> pa.Table:
        """The part's columns without a copy: what is said of each request by its number stays a number."""
        count = len(self._payloads)
        none = np.zeros(count, np.int32)
        columns: dict[str, pa.Array] = {}
        for name, values in self._columns.items():
            column = np.frombuffer(values, np.int64)
            columns[name] = pa.array(self._in_masters_time(column) if self.shift_ns and name in TIMES else column)
        columns["variant"] = pa.DictionaryArray.from_arrays(none, [self._variant])
        columns["worker"] = pa.array(none + self._worker)
        columns["payload"] = pa.DictionaryArray.from_arrays(np.frombuffer(self._payloads, np.int32), list(self._names))
        columns["error"] = pa.DictionaryArray.from_arrays(np.frombuffer(self._errors, np.int32), list(self._classes))
        return pa.table({name: columns[name] for name in SCHEMA.names}).cast(SCHEMA)

    def _in_masters_time(self, column: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = column + self.shift_ns * (column != 0)
        return found


def encode(table: pa.Table) -> bytes:
    """A table as a Parquet file; pyarrow lets go of the interpreter for most of it."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
