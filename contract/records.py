"""results/<id>: the plan, one flat record per request, the server's counters, sampled raw answers.

All times are nanoseconds of CLOCK_MONOTONIC on the client's machine. Latency counts from ``intended_ns``; service time
from ``sent_ns``. In a closed loop the two are microseconds apart.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from contract.client import Client
from contract.endpoints import Endpoint, ServerRecord
from contract.errors import UsageError
from contract.machine import Machine
from contract.manifest import Entry
from contract.prices import Price
from contract.shapes import Shape

Mode = Literal["closed", "open"]
Purpose = Literal["measure", "knee", "probe", "confirm"]

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "variant": (pa.dictionary(pa.int32(), pa.string()), "id of the endpoint"),
    "worker": (pa.int32(), "which load worker sent it"),
    "stage": (pa.int32(), "index into the plan's stages"),
    "payload": (pa.dictionary(pa.int32(), pa.string()), "golden request that was sent"),
    "rows": (pa.int32(), "inferences asked for"),
    "intended_ns": (pa.int64(), "when the schedule wanted it sent"),
    "sent_ns": (pa.int64(), "when the client began to send it"),
    "first_byte_ns": (pa.int64(), "when the answer began to arrive; 0 where none did"),
    "done_ns": (pa.int64(), "when the last of the answer had been read, or it failed"),
    "status": (pa.int32(), "HTTP status or gRPC code; -1 when there was no answer"),
    "error": (pa.dictionary(pa.int32(), pa.string()), "class of the failure; empty when it went well"),
    "retries": (pa.int64(), "how often it was sent again after a failure"),
    "bytes_sent": (pa.int64(), "body"),
    "bytes_received": (pa.int64(), "body"),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


class Stage(Entry):
    """One stage of the plan. Its window is measured once in each round."""

    name: str = Field(description="e.g. `closed-4`, `open-200`, `sine-100`")
    mode: Mode = Field(description="`closed`: users wait for their answer; `open`: arrivals by a schedule")
    concurrency: int | None = Field(description="closed: users")
    rate: float | None = Field(description="open: mean arrivals per second; null where `of_maximum` decides")
    busiest_rate: float | None = Field(
        None, description="trace: most arrivals within one second; null for other shapes, which say it themselves"
    )
    shape: Shape | None = Field(None, description="as in models.toml; null means Poisson arrivals at `rate`")
    duration_s: float = Field(description="measured window of one round")
    warmup_s: float = Field(description="before the window, excluded")
    in_flight: int = Field(description="most requests in flight")
    judged: bool = Field(True, description="open: whether the objectives are judged on it: a steady rate, no overload")
    purpose: Purpose = Field(
        "measure",
        description="`knee`, `probe`, `confirm`: steps of a search for the highest rate; only `confirm` is judged",
    )
    payloads: str = Field("", description="what it sends, a folder below `payloads/`; empty: the golden batch")


class VariantPlan(Entry):
    """What one endpoint goes through. A `repeat` measures an endpoint again, to know the noise (A/A)."""

    id: str = Field(description="id of the endpoint, `__again` appended for the repeat")
    endpoint: Endpoint = Field(description="copied, so that results can be read alone")
    stages: list[Stage] = Field(description="in order")
    repeat_of: str | None = Field(description="the variant that this one repeats")


class Seeds(Entry):
    """Separate seeds for separate choices."""

    schedule: int = Field(description="arrival times")
    payload: int = Field(description="which request is sent")
    sampling: int = Field(description="which answers are kept")


class Plan(Entry):
    """results/<id>/plan.json."""

    schema_version: Literal[1]
    id: str = Field(description="UTC start, e.g. `20240131-120000`")
    started: str = Field(description="UTC, ISO 8601")
    machine: Machine = Field(description="where the load comes from")
    same_machine: bool = Field(
        description="the run was started where the servers are: load from there shares their cores"
    )
    versions: dict[str, str] = Field(description="of the client's packages")
    target: str = Field(description="Triton release that production runs")
    seeds: Seeds = Field(description="recorded, so that a run can be repeated")
    answers: int = Field(description="answers kept per stage, round and load process")
    attempts: int = Field(3, description="how often a stage may be measured until it was steady and sent on time")
    load_plan: str = Field("", description="name of the load plan; empty: the stages of `[load]`")
    command: list[str] = Field([], description="what was typed to make the run, word by word; empty in older results")
    price: Price | None = Field(None, description="of the machine that serves; null where nobody said which it is")
    rounds: int = Field(1, description="how often all variants took their turn")
    processes: int = Field(1, description="load processes that the run started; 0: they joined, from here or elsewhere")
    isolate: bool = Field(False, description="Triton held only the variant under test")
    max_rps: float | None = Field(None, description="ceiling that no stage may exceed, retries included")
    abort_error_rate: float | None = Field(
        None, description="share of the last 200 requests whose failure ends a stage"
    )
    client: Client = Field(Client(), description="how the endpoints were called, secrets by their names only")
    servers: list[ServerRecord] = Field(description="what was running")
    resident: list[str] = Field(description="every model that shares the machine")
    one_at_a_time: bool = Field(False, description="of these, Triton held the formats of one model at a time")
    unserved: dict[str, str] = Field(description="exports that are not served, with their status")
    variants: list[VariantPlan] = Field(description="in the order of measuring")

    @property
    def loads(self) -> bool:
        """Whether models are loaded and unloaded during the run."""
        return self.isolate or self.one_at_a_time


class ServerCounters(Entry):
    """What the server counted during a window (differences; nanoseconds)."""

    inferences: int = Field(description="rows; 0 where TF Serving does not batch, for it counts rows only then")
    executions: int = Field(description="batches; 0 where TF Serving does not batch")
    success: int = Field(description="requests")
    queue_ns: int = Field(description="waiting for a batch")
    compute_input_ns: int | None = Field(description="preparing inputs; TF Serving: null, part of the model's time")
    compute_infer_ns: int = Field(description="the model")
    compute_output_ns: int | None = Field(description="preparing outputs; TF Serving: null, part of the model's time")


class StageObservation(Entry):
    """One stage as it really ran."""

    stage: int = Field(description="index into the variant's stages")
    round: int = Field(1, description="which turn of the variant")
    attempt: int = Field(1, description="the last attempt in a round counts; earlier ones were not trusted")
    rate: float | None = Field(None, description="open: mean arrivals per second that were asked for")
    workers: int = Field(1, description="load processes that took part")
    elsewhere: int | None = Field(
        None, description="of these, on other machines than the one where the run was started; null in older results"
    )
    held: int = Field(
        0, description="open: requests of the window that left late because `in_flight` others waited for their answers"
    )
    reopened: int = Field(
        0,
        description="requests of the window that found their kept connection closed or reset by the server, with "
        "nothing answered, and were answered well over a new one",
    )
    lost: list[str] = Field(
        [], description="load processes that were lost, meanwhile or before, and users that did not come: not valid"
    )
    aborted: bool = Field(False, description="too many requests failed, so nothing more was sent")
    interrupted: bool = Field(False, description="it was ended before its time by whoever had started it")
    window_start_ns: int = Field(description="first intended send that counts")
    window_end_ns: int = Field(description="no request is intended from here on")
    worker_ends_ns: dict[int, int] = Field(
        {},
        description="`worker` of the records -> when it ended and counted no further; empty where all ended together",
    )
    client_cpu: float = Field(description="share of one core that the busiest load process used in the window")
    server: ServerCounters | None = Field(description="null where the server has no such counters")


class Observation(Entry):
    """results/<id>/server-stats-<variant>.json: written when a variant has gone through its stages."""

    schema_version: Literal[1]
    variant: str = Field(description="id of the variant")
    complete: bool = Field(description="false when it was interrupted")
    stages: list[StageObservation] = Field(description="those that were finished")


def read_records(directory: Path, variant: str) -> pa.Table:
    """Read one variant's records, all workers and parts, in file order. One stage at a time: contract/parts.py."""
    tables = [_read_part(file) for file in part_files(directory, variant)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def part_files(directory: Path, variant: str) -> list[Path]:
    """The files that hold one variant's records, in order."""
    return _files(directory, rf"requests-{re.escape(variant)}-\d+-\d+\.parquet")


def answer_files(directory: Path, variant: str) -> list[Path]:
    """The files that hold one variant's sampled answers, in order."""
    return _files(directory, rf"answers-{re.escape(variant)}-\d+\.bin")


def _files(directory: Path, pattern: str) -> list[Path]:
    """Matched as a whole: a second server of one kind is named ``<variant>-2``, which ``<variant>-*`` takes in."""
    whole = re.compile(pattern)
    return sorted(file for file in directory.glob("*") if whole.fullmatch(file.name))


@contextmanager
def open_part(file: Path) -> Iterator[pq.ParquetFile]:
    """One file of records, open for reading; UsageError where it is none, or turns out to be none meanwhile."""
    try:
        with pq.ParquetFile(file) as part:
            missing = set(SCHEMA.names) - set(part.schema_arrow.names)
            if missing:
                raise UsageError(f"{file} lacks the columns {', '.join(sorted(missing))}; it is not a file of records")
            yield part
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file} cannot be read as records: {error}; delete it or run 'make loadtest' again") from None


def _read_part(file: Path) -> pa.Table:
    with open_part(file) as part:
        return part.read(columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)


def golden_name(endpoint: Endpoint) -> str:
    """Name of the copy of the golden batch beside the plan."""
    return f"golden-{endpoint.model}-{endpoint.version}.npz"


FRAME = struct.Struct("<II")


def answer_frame(stage: int, payload: str, headers: dict[str, str], body: bytes) -> bytes:
    """One sampled answer: ``<u32 header length><u32 body length>``, a JSON header, the raw body."""
    header = json.dumps({"stage": stage, "payload": payload, "headers": headers}).encode()
    return FRAME.pack(len(header), len(body)) + header + body


def read_answers(path: Path) -> Iterator[tuple[int, str, dict[str, str], bytes]]:
    """Yield (stage, payload key, headers, body). A frame cut off at the file's end, after a kill, is left out."""
    data = path.read_bytes()
    offset = 0
    while offset + FRAME.size <= len(data):
        header_size, body_size = FRAME.unpack_from(data, offset)
        offset += FRAME.size
        if offset + header_size + body_size > len(data):
            return
        try:
            header = json.loads(data[offset : offset + header_size])
            entry = int(header["stage"]), str(header["payload"]), dict(header["headers"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UsageError(f"{path} is not a file of sampled answers: {error}") from None
        yield (*entry, data[offset + header_size : offset + header_size + body_size])
        offset += header_size + body_size
