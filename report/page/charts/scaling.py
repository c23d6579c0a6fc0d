"""How throughput grew with instances or replicas: every measured point, and the law where one was fitted. Pure."""

from __future__ import annotations

from contract.scaling import Point, Prediction, Scaling
from report import words
from report.page.charts.drawing import FROM_ZERO, Drawing
from report.page.figures import Chart, Figure, Panel, axes, plain

COLOR, LAW = "var(--hue-2a)", "var(--muted)"
STEPS = 60  # of the law's curve
COLUMNS = (
    "n",
    "closed loop req/s",
    "users",
    "p99 ms",
    "max rate under SLO req/s",
    "by the law req/s",
    "cores of the servers",
    "MiB per replica",
    "reason",
)


def scaling(drawing: Drawing, found: Scaling | None) -> list[Chart]:
    """The chart of the model whose endpoint was scaled; none for other models, and where nothing was scaled."""
    ids = {item.id for item in drawing.variants}
    if found is None or not found.points or not ids & {found.endpoint, *(point.variant for point in found.points)}:
        return []
    valid = [point for point in found.points if not point.invalid]
    closed = [(point, point.closed_rps) for point in valid]
    sought = [(point, point.max_rps) for point in valid if point.max_rps is not None]
    direct = found.direct if found.direct is not None and not found.direct.invalid else None
    traces = [_measured(found, "closed loop", "circle", closed)]
    traces += [_measured(found, "highest rate under the SLO", "star", sought)] if sought else []
    traces += [_spoiled(found)] if len(valid) < len(found.points) else []
    traces += [_direct(direct)] if direct else []
    traces += [_law(found, found.prediction)] if found.prediction is not None else []
    layout = axes(found.unit.capitalize(), "req/s", FROM_ZERO)
    layout["xaxis"] |= {"dtick": 1} if found.points[-1].n <= 16 else {}
    note = "● closed loop, ★ highest rate under the SLO"
    note += ", ✕ INVALID" if len(valid) < len(found.points) else ""
    note += ", ◆ one replica without the proxy" if direct else ""
    note += ", dashed the Universal Scalability Law" if found.prediction else ""
    note += f". {found.reason[:1].upper()}{found.reason[1:].rstrip('.')}."
    note += f" Spread over replicas by {found.proxy}." if found.proxy else ""
    note += f" Load generator or proxy shared cores with the servers: {found.shared}." if found.shared else ""
    return [
        Chart(
            f"{drawing.slug}-scaling",
            "Scaling",
            note,
            (Panel("Throughput", {"": {"data": traces, "layout": layout}}),),
            COLUMNS,
            tuple(
                (
                    point.n,
                    point.closed_rps,
                    point.users,
                    point.p99_ms,
                    point.max_rps,
                    law(found.prediction, point.n) if found.prediction else None,
                    round(sum(point.server_cores), 2) if point.server_cores else None,
                    max(point.server_mib, default=None),
                    point.reason,
                )
                for point in [*found.points, *([direct] if direct else [])]
            ),
        )
    ]


def law(fitted: Prediction, n: float) -> float:
    """Requests per second of n by the Universal Scalability Law: Gunther, Guerrilla Capacity Planning, chapter 4."""
    return fitted.rate * n / (1 + fitted.sigma * (n - 1) + fitted.kappa * n * (n - 1))


def _measured(found: Scaling, name: str, symbol: str, values: list[tuple[Point, float]]) -> Figure:
    unit = found.unit.removesuffix("s")
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [point.n for point, _ in values],
        "y": [value for _, value in values],
        "line": {"color": COLOR, "width": 1},
        "marker": {"symbol": symbol, "color": COLOR, "line": {"color": COLOR}, "size": 13 if symbol == "star" else 9},
        "hovertext": [
            f"<b>{words.counted(point.n, unit)}</b><br>{name}: {words.number(value)} req/s"
            f"<br>closed loop of {words.counted(point.users, 'user')}, p99 {words.number(point.p99_ms)} ms"
            for point, value in values
        ],
    }


def _spoiled(found: Scaling) -> Figure:
    """What was measured and is INVALID."""
    points = [point for point in found.points if point.invalid]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "INVALID",
        "x": [point.n for point in points],
        "y": [point.closed_rps for point in points],
        "marker": {"symbol": "x-thin", "color": COLOR, "line": {"color": COLOR, "width": 2}, "size": 9},
        "hovertext": [
            f"<b>{words.counted(point.n, found.unit.removesuffix('s'))}</b>, INVALID: {plain(point.invalid)}"
            f"<br>closed loop: {words.number(point.closed_rps)} req/s"
            for point in points
        ],
    }


def _direct(point: Point) -> Figure:
    """One replica asked without the proxy: what it is above the first point, the proxy costs."""
    text = f"<b>1 replica, without the proxy</b><br>closed loop: {words.number(point.closed_rps)} req/s"
    text += f"<br>{words.counted(point.users, 'user')}, p99 {words.number(point.p99_ms)} ms"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "without the proxy",
        "x": [point.n],
        "y": [point.closed_rps],
        "marker": {"symbol": "diamond-open", "color": COLOR, "line": {"color": COLOR}, "size": 11},
        "hovertext": [text],
    }


def _law(found: Scaling, fitted: Prediction) -> Figure:
    """As far as was measured, and on to the peak where it is near."""
    last = max(point.n for point in found.points)
    end = min(fitted.peak, 2.0 * last) if fitted.peak is not None and fitted.peak > last else float(last)
    at = [1 + (end - 1) * step / STEPS for step in range(STEPS + 1)]
    text = f"law: {words.number(fitted.rate)} req/s of one, contention {fitted.sigma:.3g}, coherence {fitted.kappa:.2g}"
    if fitted.peak is not None and fitted.peak_rps is not None:
        text += f"<br>most at {fitted.peak:.3g}: {words.number(fitted.peak_rps)} req/s"
    text += f"<br>misses the points by {words.share(fitted.residual)}"
    values = [round(law(fitted, n), 3) for n in at]
    trace: Figure = {"type": "scatter", "mode": "lines", "name": "law", "x": at, "y": values}
    return trace | {"line": {"color": LAW, "dash": "dash", "width": 1.5}, "hovertext": [plain(text)] * len(at)}
