"""What the records say of the client when the server did nothing, or did what it knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.certificate import Added, CeilingOf
from contract.errors import LoadproofError
from contract.records import StageObservation
from contract.statistics import Floats, order_statistic

MILLISECOND = 1e6
BUSY = 0.8  # of a core: who uses less while there is always something to do was kept from working


@dataclass(frozen=True)
class Matched:
    """Requests of a window, each beside the null server's own figure. Milliseconds, in the order of sending."""

    latency: Floats  # from the intended send, as the client measured it
    sent_late: Floats  # from the intended to the actual send
    server: Floats  # from arrival to answer, as the server measured it

    @property
    def added(self) -> Floats:
        """What of the latency was not the server's."""
        return self.latency - self.server


def ceiling(records: pa.Table, observed: StageObservation) -> float:
    """Good answers per second of the window. Raises LoadproofError when any request failed."""
    failed = sorted({error for error in records.column("error").to_pylist() if error})
    if failed:
        raise LoadproofError(f"requests to the null server failed ({', '.join(failed)}); measure again with --again")
    done = records.column("done_ns").to_numpy()
    inside = (done >= observed.window_start_ns) & (done < observed.window_end_ns)
    return float(inside.sum() / (observed.window_end_ns - observed.window_start_ns) * 1e9)


def ceiling_of(client_cpu: float, server_cpu: float) -> CeilingOf:
    """Whose limit it was: of two processes that work in turn, the busier one's, if it had a core to work with."""
    if max(client_cpu, server_cpu) < BUSY:
        return "machine"
    return "null server" if server_cpu > client_cpu else "client"


def match(records: pa.Table, observed: StageObservation, seen: NDArray[np.int64]) -> Matched:
    """Put the k-th request that was sent beside the k-th that arrived; keep those that were intended in the window.

    Two requests that are sent within some microseconds of each other may arrive the other way round; that moves the
    difference by as little. Raises LoadproofError when not every request of the one is one of the other.
    """
    if len(records) != len(seen):
        raise LoadproofError(
            f"the client recorded {len(records)} requests and the null server saw {len(seen)}; measure again"
        )
    ordered = records.sort_by("sent_ns")
    intended, sent, done = (ordered.column(name).to_numpy() for name in ("intended_ns", "sent_ns", "done_ns"))
    inside = (intended >= observed.window_start_ns) & (intended < observed.window_end_ns)
    return Matched(
        latency=(done - intended)[inside] / MILLISECOND,
        sent_late=(sent - intended)[inside] / MILLISECOND,
        server=(seen[:, 1] - seen[:, 0])[inside] / MILLISECOND,
    )


def added(rate: float, matched: Matched) -> Added:
    """What the client adds at that rate. Raises LoadproofError when there is nothing to compare."""
    if not len(matched.latency):
        raise LoadproofError("no request was sent in the window of the known delay; measure again with --again")
    difference, late, server = (np.sort(samples) for samples in (matched.added, matched.sent_late, matched.server))
    return Added(
        rate=rate,
        requests=len(difference),
        server_p50_ms=_rounded(server, 0.5),
        p50_ms=_rounded(difference, 0.5),
        p99_ms=_rounded(difference, 0.99),
        sent_late_p50_ms=_rounded(late, 0.5),
        sent_late_p99_ms=_rounded(late, 0.99),
    )


def _rounded(ordered: Floats, p: float) -> float:
    return round(order_statistic(ordered, p), 3)
