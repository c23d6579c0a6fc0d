"""What the server and the load generator used over the seconds of a stage. Pure."""

from __future__ import annotations

from contract.verdict import ServerPoint, StageResult
from report.page.charts.drawing import FROM_ZERO, Drawing
from report.page.figures import Chart, Course, Figure, Panel

# A change of a few MiB is no news; the axis shows at least these.
CHANGE: Figure = {"autorangeoptions": {"include": [-10, 10]}}
COLUMNS = ("variant", "stage", "s", "server cores", "load cores", "server memory MiB", "state")


def server(drawing: Drawing) -> list[Chart]:
    """One chart, or none where nothing was sampled."""
    offered = {
        name: sampled
        for name, shown in drawing.offered.items()
        if (sampled := [(item, stage) for item, stage in shown if _points(stage)])
    }
    if not offered:
        return []
    panels = tuple(
        Panel(title, {name: drawing.over_time(shown, course, unit, axis) for name, shown in offered.items()})
        for title, course, unit, axis in (
            ("Server CPU", lambda s: [(p.t_s, p.cpu) for p in _points(s)], "cores", FROM_ZERO),
            ("Load generator CPU", lambda s: [(p.t_s, p.load_cpu) for p in _points(s)], "cores", FROM_ZERO),
            ("Server memory, change since the beginning", _memory_change, "MiB", CHANGE),
        )
    )
    return [
        Chart(
            f"{drawing.slug}-server",
            "What the server used",
            "Sampled twice a second. A server at its limit is flat at as many cores as it may have; memory that "
            "climbs through a whole stage is a leak or a cache.",
            panels,
            COLUMNS,
            drawing.rows(drawing.settled(), lambda s: [(p.t_s, p.cpu, p.load_cpu, p.memory_mib) for p in _points(s)]),
        )
    ]


def _points(stage: StageResult) -> list[ServerPoint]:
    return stage.server_side.course if stage.server_side else []


def _memory_change(stage: StageResult) -> Course:
    """The server's memory less what it was at first: variants of any size, and a leak among them, fit one chart."""
    known = [(point.t_s, point.memory_mib) for point in _points(stage) if point.memory_mib is not None]
    return [(t_s, mib - known[0][1]) for t_s, mib in known]
