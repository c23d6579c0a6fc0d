"""What is written and said of a curve: the record, its law or the reason why there is none, and lines for a person."""

from __future__ import annotations

from collections.abc import Sequence

from contract.endpoints import Endpoint
from contract.scaling import Point, Scaling
from tune.scale.unit import MICROSECONDS, Name
from tune.scale.usl import predict

MOST_BUSY = 0.8  # of the proxy's threads: requests wait for a busier one, and the curve would be the proxy's


def scaling(
    endpoint: Endpoint,
    points: Sequence[Point],
    shared: str,
    complete: bool,
    unit: Name = "instances",
    proxy: str = "",
    proxy_threads: int | None = None,
    direct: Point | None = None,
) -> Scaling:
    """The record of what was measured, with the law that fits it or the reason why there is none."""
    valid = [point for point in points if not point.invalid]
    prediction, reason = predict([(point.n, point.closed_rps) for point in valid], shared)
    if prediction and (busy := bottleneck(valid, proxy_threads)):
        prediction, reason = None, busy
    lost = [f"{unit} {point.n}: {point.invalid}" for point in points if point.invalid]
    return Scaling(
        schema_version=1,
        endpoint=endpoint.id,
        unit=unit,
        points=list(points),
        shared=shared,
        proxy=proxy,
        proxy_threads=proxy_threads,
        direct=direct,
        prediction=prediction,
        reason="; ".join([reason, *lost]),
        complete=complete,
    )


def bottleneck(points: Sequence[Point], threads: int | None) -> str:
    """Why the points are the proxy's and not the servers'; empty where it had time left, or there is none."""
    for point in points:
        if point.proxy_us is None or threads is None:
            continue
        busy = point.closed_rps * point.proxy_us / MICROSECONDS / threads
        if busy > MOST_BUSY:
            return f"the proxy was busy for {busy:.0%} of the time before {point.n} replicas; give it --proxy-threads"
    return ""


def told(point: Point, unit: Name = "instances") -> str:
    """One point in one line."""
    if point.invalid:
        return f"{unit} {point.n}: nothing may be concluded, {point.invalid}"
    rate = f"{point.max_rps:,.4g}/s under the objectives" if point.max_rps is not None else point.reason
    slow = "" if point.p99_ms is None else f", p99 {point.p99_ms:.4g} ms"
    shares = f", shared {' : '.join(f'{share:.0%}' for share in point.shares)}" if len(point.shares) > 1 else ""
    return f"{unit} {point.n}: {point.closed_rps:,.4g}/s with {point.users} users{slow}{shares}{used(point)}; {rate}"


def used(point: Point) -> str:
    """Cores of the servers together, and the largest replica's memory; empty where they were not read."""
    if not point.server_cores or not point.server_mib:
        return ""
    return f", {sum(point.server_cores):.2f} cores of the servers, {max(point.server_mib):.0f} MiB per replica"


def cost_of_proxy(found: Scaling) -> str:
    """What the proxy took from one replica, in one line; empty where that was not measured."""
    through = next((point for point in found.points if point.n == 1 and not point.invalid), None)
    direct = found.direct
    if direct is None or direct.invalid or through is None or not direct.closed_rps:
        return ""
    words = f"the proxy: {direct.closed_rps:,.4g} to {through.closed_rps:,.4g}/s of one replica"
    words += f" ({through.closed_rps / direct.closed_rps - 1:+.0%}) with {direct.users} users"
    if direct.p99_ms is not None and through.p99_ms is not None:
        words += f", p99 {direct.p99_ms:.4g} to {through.p99_ms:.4g} ms"
    words += "" if through.proxy_us is None else f", {through.proxy_us:.0f} µs of a processor per request"
    return words + ("; on shared cores only the last is its own" if found.shared else "")
