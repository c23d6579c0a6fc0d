"""results/<id>/server-samples-<part>.parquet: what the servers, the load and the machine used, twice a second.

One row per subject and instant. A subject that could not be read has a row that says why, so that nothing is missing
silently. Times are CLOCK_MONOTONIC of the machine that the load test runs on, the clock of the records.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import UsageError

PERIOD_S = 0.5
PATTERN = "server-samples-*.parquet"
# Subjects beside the servers, which are called by their engine.
LOAD, MACHINE, SAMPLER, GPU = "load", "machine", "sampler", "gpu"
METRICS = " metrics"  # after an engine: what the server's own metrics page says

COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "at_ns": (pa.int64(), "when the row was read"),
    "subject": (
        pa.dictionary(pa.int32(), pa.string()),
        "an engine: its processes; `load`: the load generator's processes; `machine`; `sampler`: this reading itself; "
        "`gpu 0`; `triton metrics`, `triton gpu <uuid>`: what the server's own page says of its machine",
    ),
    "absent": (pa.dictionary(pa.int32(), pa.string()), "why there are no figures; empty where there are"),
    "pid": (pa.int32(), "first process of the subject; another one is another start"),
    "cpu_s": (pa.float64(), "CPU seconds used since its start, those of ended children included; machine: busy"),
    "core_s": (pa.list_(pa.float64()), "machine: busy seconds of each core"),
    "steal_s": (pa.float64(), "machine: seconds that a hypervisor kept from it, all cores together"),
    "memory_bytes": (pa.int64(), "resident, shared pages counted in each process; container, machine, GPU: in use"),
    "private_bytes": (pa.int64(), "resident, without files and shared memory"),
    "threads": (pa.int32(), "of all its processes"),
    "connections": (pa.int32(), "established TCP connections to its ports; read every other second"),
    "pending": (pa.int32(), "Triton: requests that wait for a batch, all models"),
    "utilization": (pa.float64(), "share of the time that the GPU (Triton's page: its machine's CPUs) was busy"),
    "power_w": (pa.float64(), "GPU"),
    "temperature_c": (pa.float64(), "GPU"),
    "clock_mhz": (pa.float64(), "GPU, of its multiprocessors"),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


def part_name(number: int) -> str:
    """The file of one part."""
    return f"server-samples-{number:05d}.parquet"


def read_samples(directory: Path) -> pa.Table:
    """All samples of a run by time; empty where none were taken. Raises UsageError for a file that is none of ours."""
    tables = []
    for file in sorted(directory.glob(PATTERN)):
        try:
            missing = set(SCHEMA.names) - set(pq.read_schema(file).names)
            if missing:
                raise UsageError(f"{file} lacks the columns {', '.join(sorted(missing))}; it is not a file of samples")
            tables.append(pq.read_table(file, schema=SCHEMA))
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{file} cannot be read as samples: {error}; delete it to do without them") from None
    return pa.concat_tables(tables).sort_by("at_ns") if tables else SCHEMA.empty_table()
