"""One stage's records become its figures. Pure: tables in, StageResult out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contract.config import Slo
from contract.records import ServerCounters, Stage, StageObservation
from contract.statistics import PERCENTILES, Floats, quantile
from contract.verdict import Attribution, Percentile, Percentiles, Point, StageResult
from report.answers import Judged
from report.validity import MOST_CLIENT_CPU, StageFacts, check

COURSE_POINTS = 10
MILLISECOND = 1e6


def summarize(stage: Stage, observed: StageObservation, records: pa.Table, judged: Judged, slo: Slo) -> StageResult:
    """Judge the requests that were intended within the stage's window."""
    window = _window(records, observed)
    intended, sent, done = (window.column(name).to_numpy() for name in ("intended_ns", "sent_ns", "done_ns"))
    errors = Counter(error for error in window.column("error").to_pylist() if error)
    good = np.array([not error for error in window.column("error").to_pylist()], dtype=bool)
    seconds = (observed.window_end_ns - observed.window_start_ns) / 1e9
    done_s = (done - observed.window_start_ns) / 1e9
    latency, service = (done - intended) / MILLISECOND, (done - sent) / MILLISECOND
    late = (sent - intended) / MILLISECOND
    facts = StageFacts(
        mode=stage.mode,
        duration_s=seconds,
        requests=len(window),
        failed=sum(errors.values()),
        sent_late_ms=late,
        good_done_s=done_s[good],
        client_cpu=observed.client_cpu,
        answers_checked=judged.checked,
        wrong_answers=judged.wrong,
        wrong_reason=judged.first_reason,
    )
    checks = check(facts, slo)
    answered = _answered(records, observed)
    client_bound = observed.client_cpu > MOST_CLIENT_CPU
    return StageResult(
        name=stage.name,
        mode=stage.mode,
        target=float(stage.rate or stage.concurrency or 0),
        offered_rps=round(len(window) / seconds, 2) if stage.mode == "open" else None,
        duration_s=round(seconds, 3),
        valid=all(item.passed for item in checks),
        reasons=[f"{item.name}: {item.detail}" for item in checks if not item.passed],
        checks=checks,
        notes=_notes(client_bound, observed),
        client_bound=client_bound,
        requests=len(window),
        errors=dict(errors),
        throughput_rps=round(len(answered) / seconds, 2),
        latency_ms=percentiles(latency[good]),
        service_ms=percentiles(service[good]),
        sent_late_ms=percentiles(late),
        attribution_ms=attribute(latency[good], late[good], observed.server),
        mean_batch=_mean_batch(observed.server),
        client_cpu=observed.client_cpu,
        answers_checked=judged.checked,
        wrong_answers=judged.wrong,
        course=course(answered[:, 0], answered[:, 1], seconds),
    )


def _window(records: pa.Table, observed: StageObservation) -> pa.Table:
    """The stage's requests that were intended within the window, in the order of their intention."""
    intended = records.column("intended_ns")
    keep = pc.and_(
        pc.equal(records.column("stage"), observed.stage),
        pc.and_(
            pc.greater_equal(intended, observed.window_start_ns),
            pc.less(intended, observed.window_end_ns),
        ),
    )
    return records.filter(keep).sort_by("intended_ns")


def _answered(records: pa.Table, observed: StageObservation) -> Floats:
    """[n, 2]: when (seconds since the window's start) and after how many milliseconds the window's good answers came.

    Throughput counts what comes out in the window, whenever it was sent; latency counts what was due in it.
    """
    stage = records.filter(pc.equal(records.column("stage"), observed.stage))
    intended, done = (stage.column(name).to_numpy() for name in ("intended_ns", "done_ns"))
    good = stage.column("error").cast(pa.string()).to_numpy(zero_copy_only=False) == ""
    inside = good & (done >= observed.window_start_ns) & (done < observed.window_end_ns)
    when = (done[inside] - observed.window_start_ns) / 1e9
    found: Floats = np.column_stack([when, (done[inside] - intended[inside]) / MILLISECOND])
    return found


def percentiles(samples: Floats) -> Percentiles:
    """Exact percentiles of samples in time order, with what may be claimed about them."""
    found = {name: quantile(samples, p) for name, p in PERCENTILES.items()}
    entries = {
        name: Percentile(value=_rounded(item.value), upper=_rounded(item.upper), missing=item.missing)
        for name, item in found.items()
    }
    top = _rounded(float(samples.max())) if len(samples) else None
    return Percentiles(**entries, max=Percentile(value=top, upper=None, missing=0))


def attribute(latency: Floats, late: Floats, server: ServerCounters | None) -> Attribution:
    """Mean milliseconds per request. Queue and compute are the server's own; the wire is what remains."""
    if not len(latency):
        return Attribution(client=None, wire=None, queue=None, compute=None)
    client = float(late.mean())
    if server is None or server.success == 0:
        return Attribution(client=_rounded(client), wire=None, queue=None, compute=None)
    queue = server.queue_ns / server.success / MILLISECOND
    spent = server.compute_input_ns + server.compute_infer_ns + server.compute_output_ns
    compute = spent / server.success / MILLISECOND
    wire = max(0.0, float(latency.mean()) - client - queue - compute)
    return Attribution(client=_rounded(client), wire=_rounded(wire), queue=_rounded(queue), compute=_rounded(compute))


def course(done_s: Floats, latency: Floats, seconds: float) -> list[Point]:
    """Throughput and median latency over the window."""
    edges = np.linspace(0.0, seconds, COURSE_POINTS + 1)
    width = seconds / COURSE_POINTS
    points = []
    for start, end in pairwise(edges):
        inside = latency[(done_s >= start) & (done_s < end)]
        median = _rounded(float(np.median(inside))) if len(inside) else None
        points.append(
            Point(t_s=round(float(start + width / 2), 3), throughput_rps=round(len(inside) / width, 1), p50_ms=median)
        )
    return points


def _mean_batch(server: ServerCounters | None) -> float | None:
    return round(server.inferences / server.executions, 3) if server and server.executions else None


def _notes(client_bound: bool, observed: StageObservation) -> list[str]:
    notes = []
    if client_bound:
        cpu = f"{observed.client_cpu:.0%}"
        notes.append(f"client-bound: the load process used {cpu} of a core, so the throughput is a lower bound")
    if observed.attempt > 1:
        notes.append(f"attempt {observed.attempt}: before it the machine was not steady, or sends were late")
    return notes


def _rounded(value: float | None) -> float | None:
    """Microseconds are the last digit that the clock and the scheduler justify."""
    return None if value is None else round(value, 3)
