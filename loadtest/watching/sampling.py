"""The Sampler: a thread beside the load that reads every probe twice a second and writes Parquet parts.

It lives in the process that waits for the load workers, so that it takes nothing from them but its share of a core,
which is itself a row. Memory stays flat: a part is written whole (then renamed) every minute, so that whatever was
sampled before a kill can be read.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from contract.endpoints import ServerRecord
from contract.progress import say
from contract.samples import PERIOD_S, SCHEMA, part_name
from loadtest.watching.connections import established
from loadtest.watching.gpu import Gpus
from loadtest.watching.probes import Instant, Itself, Load, Machine, Probe, Row, absent
from loadtest.watching.process_tree import parents
from loadtest.watching.server_probes import probes_of

PART_S = 60.0
TABLES_EVERY = 4  # instants: processes and connections of the whole machine, which take longer than a reading
END_S = 15.0
NICENESS = 15


class Sampler:
    """``with Sampler(servers, results, servers_file): ...`` samples while the block runs.

    ``servers_file`` is live/servers.json, read again when a server's process is gone: supervision may have started it
    anew.
    """

    def __init__(
        self,
        servers: Sequence[ServerRecord],
        results: Path,
        servers_file: Path,
        period_s: float = PERIOD_S,
        part_s: float = PART_S,
    ) -> None:
        of_servers = [probe for server in servers for probe in probes_of(server, servers_file)]
        self._probes: list[Probe] = [*of_servers, Load(), Machine(), Gpus(), Itself()]
        self._results = results
        self._period_s = period_s
        self._instants_of_a_part = max(1, round(part_s / period_s))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._rows: list[Row] = []
        self._part = 0

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        # A reading takes some milliseconds twice a second: client and server, where they need the core, go first. Linux
        # takes a thread's number for a process's here.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            self._sample_until_the_end()
        except (OSError, pa.ArrowException) as error:
            # The load goes on: its records are worth more than what is beside them.
            say(f"the servers are no longer sampled: {error}")
        finally:
            for probe in self._probes:
                probe.close()

    def _sample_until_the_end(self) -> None:
        due, instants, processes = time.monotonic(), 0, dict[int, int]()
        while True:
            last = self._ended.is_set()  # one more reading, so that the samples reach beyond the last window
            connections = None
            if instants % TABLES_EVERY == 0:
                processes, connections = parents(), established()
            self._sample(Instant(processes, connections))
            instants += 1
            if last or instants % self._instants_of_a_part == 0:
                self._write_part()
            if last:
                return
            due = max(due + self._period_s, time.monotonic())  # what was missed is not made up for
            self._ended.wait(due - time.monotonic())

    def _sample(self, instant: Instant) -> None:
        for probe in self._probes:
            try:
                rows = probe.rows(instant)
            except Exception as error:  # a probe may fail in ways of its library; the row says which
                rows = [absent(probe.subject, f"{type(error).__name__}: {error}")]
            at_ns = time.monotonic_ns()
            self._rows += [{"at_ns": at_ns, "absent": "", **row} for row in rows]

    def _write_part(self) -> None:
        target = self._results / part_name(self._part)
        temporary = target.with_suffix(".tmp")
        pq.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA), temporary, compression="zstd")
        os.replace(temporary, target)
        self._part += 1
        self._rows = []
