"""One stage's records become its figures. Pure: tables in, StageResult out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contract.certificate import Certificate
from contract.records import ServerCounters, Stage, StageObservation
from contract.shapes import Steady
from contract.slo import Slo
from contract.statistics import PERCENTILES, Floats, quantiles
from contract.verdict import Attribution, Percentile, Percentiles, Point, StageResult
from report.figures.answers import Judged
from report.figures.certificate import NOBODY_DID
from report.figures.course import course
from report.figures.endurance import endurance
from report.figures.other_work import OtherWork, other_work
from report.figures.promise import shows
from report.figures.requests import MILLISECOND, Requests, answered
from report.figures.series import Samples
from report.figures.server_side import server_side
from report.figures.stage_facts import StageFacts
from report.figures.stage_notes import notes_of
from report.figures.trend import SHORTEST_S
from report.figures.validity import check, client_bound, client_bound_note
from report.figures.windows import Windows, counted


def summarize(
    stage: Stage,
    rounds: Sequence[StageObservation],
    records: pa.Table,
    judged: Judged,
    slo: Slo,
    samples: Samples | None = None,
    certificate: Certificate | None = None,
    uncertified: str = NOBODY_DID,
) -> StageResult:
    """Judge the requests that were intended within the stage's windows, with what the servers used in them.

    ``rounds`` holds the observation that counts of each round; ``records`` are those of the variant, all its stages
    or this one alone (contract/parts.py). ``uncertified`` is why there is no ``certificate``, where there is none.
    """
    requests = Requests(records, rounds[0].stage, rounds)
    windows, good = requests.windows, requests.good
    throughput, points = _came_out(records, rounds[0].stage, windows)
    client_cpu = max(seen.client_cpu for seen in rounds)
    ceiling = certificate.ceiling_rps if certificate else None
    bound = stage.mode == "closed" and client_bound(throughput, client_cpu, ceiling)
    side = server_side(samples, windows.spans) if samples else None
    facts = _facts(stage, rounds, requests, throughput, judged, certificate, uncertified, other_work(side))
    checks = check(facts, slo)
    server = None if side and side.restarts else counted(rounds)  # counters begin anew with the server
    notes = [client_bound_note(throughput, client_cpu, ceiling)] if bound else []
    long = len(rounds) == 1 and windows.seconds >= SHORTEST_S
    return StageResult(
        name=stage.name,
        mode=stage.mode,
        purpose=stage.purpose,
        payloads=stage.payloads,
        target=_target(stage, rounds),
        judged=shows(stage),
        offered_rps=round(len(requests) / windows.seconds, 2) if stage.mode == "open" else None,
        duration_s=round(windows.seconds, 3),
        valid=all(item.passed for item in checks),
        reasons=[f"{item.name}: {item.detail}" for item in checks if not item.passed],
        checks=checks,
        notes=[*notes, *notes_of(stage, rounds, judged, len(requests), sum(requests.errors.values()))],
        client_bound=bound,
        requests=len(requests),
        errors=requests.errors,
        throughput_rps=round(throughput, 2),
        latency_ms=percentiles(requests.latency_ms[good]),
        service_ms=percentiles(requests.service_ms[good]),
        sent_late_ms=percentiles(requests.late_ms),
        attribution_ms=attribute(requests.latency_ms[good], requests.late_ms[good], server),
        mean_batch=_mean_batch(server),
        client_cpu=client_cpu,
        answers_checked=judged.checked,
        wrong_answers=judged.wrong,
        course=points,
        server_side=side,
        endurance=endurance(windows.spans[0], requests.intended_s, requests.latency_ms, good, samples)
        if long
        else None,
    )


def good_latencies(records: pa.Table, stage: int, rounds: Sequence[StageObservation]) -> Floats:
    """Milliseconds from the intended send, in the order of time, of a stage's good answers."""
    requests = Requests(records, stage, rounds)
    return requests.latency_ms[requests.good]


def course_of_requests(
    records: pa.Table, stage: int, rounds: Sequence[StageObservation]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Of the requests that were due, in order: seconds of the windows, milliseconds from intended to done, good."""
    requests = Requests(records, stage, rounds)
    return requests.intended_s, requests.latency_ms, requests.good


def _came_out(records: pa.Table, stage: int, windows: Windows) -> tuple[float, list[Point]]:
    """Good answers per second of the windows, and their course.

    Throughput counts what comes out in a window, whenever it was sent; latency counts what was due in it.
    """
    came_s, latency_ms = answered(records, stage, windows)
    return len(came_s) / windows.seconds, course(came_s, latency_ms, windows.seconds)


def _facts(
    stage: Stage,
    rounds: Sequence[StageObservation],
    requests: Requests,
    throughput: float,
    judged: Judged,
    certificate: Certificate | None,
    uncertified: str,
    other: OtherWork | None,
) -> StageFacts:
    return StageFacts(
        mode=stage.mode,
        duration_s=requests.windows.seconds,
        planned_s=stage.duration_s * len(rounds),
        one_rate=stage.shape is None or isinstance(stage.shape, Steady),
        in_flight=stage.in_flight,
        requests=len(requests),
        failed=sum(requests.errors.values()),
        due_s=requests.intended_s,
        sent_late_ms=requests.late_ms,
        good_done_s=requests.done_s[requests.good],
        answered_rps=throughput,
        client_cpu=max(seen.client_cpu for seen in rounds),
        answers_checked=judged.checked,
        wrong_answers=judged.wrong,
        wrong_reason=judged.first_reason,
        ceiling_rps=certificate.ceiling_rps if certificate else None,
        ceiling_of=certificate.ceiling_of if certificate else "client",
        open_ceiling=certificate.open_ceiling if certificate else None,
        uncertified=uncertified,
        lost=[name for seen in rounds for name in seen.lost],
        aborted=any(seen.aborted for seen in rounds),
        interrupted=any(seen.interrupted for seen in rounds),
        sought=stage.purpose != "measure",
        other=other,
        held=sum(seen.held for seen in rounds),
    )


def _target(stage: Stage, rounds: Sequence[StageObservation]) -> float:
    """Users, or requests per second as they were asked for."""
    asked = [seen.rate for seen in rounds if seen.rate is not None]
    return float(stage.concurrency or stage.rate or (round(sum(asked) / len(asked), 2) if asked else 0))


def percentiles(samples: Floats) -> Percentiles:
    """Exact percentiles of samples in time order, with what may be claimed about them."""
    found = dict(zip(PERCENTILES, quantiles(samples, list(PERCENTILES.values())), strict=True))
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
    spent = (server.compute_input_ns or 0) + server.compute_infer_ns + (server.compute_output_ns or 0)
    compute = spent / server.success / MILLISECOND
    wire = max(0.0, float(latency.mean()) - client - queue - compute)
    return Attribution(client=_rounded(client), wire=_rounded(wire), queue=_rounded(queue), compute=_rounded(compute))


def _mean_batch(server: ServerCounters | None) -> float | None:
    return (
        round(server.inferences / server.executions, 3) if server and server.inferences and server.executions else None
    )


def _rounded(value: float | None) -> float | None:
    """Microseconds are the last digit that the clock and the scheduler justify."""
    return None if value is None else round(value, 3)
