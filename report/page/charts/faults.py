"""What happened to the servers, as marks at the foot of a chart over time. Pure."""

from __future__ import annotations

from contract.verdict import StageResult, Variant
from report import words
from report.page.charts.drawing import Drawing
from report.page.figures import Figure, plain


def fault_marks(drawing: Drawing, item: Variant, placed: list[tuple[float, StageResult]]) -> list[Figure]:
    """A variant's faults as one trace, or none; ``placed`` are its stages with the second at which each begins."""
    faults = [(begin + fault.t_s, stage, fault) for begin, stage in placed for fault in stage.faults]
    if not faults:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "fault",
            "meta": item.id,
            "x": [at for at, _, _ in faults],
            "y": [0] * len(faults),
            "marker": {"symbol": "triangle-up", "size": 13, "color": "var(--bad)", "line": {"color": "var(--page)"}},
            "hovertext": [
                f"<b>{plain(f'{fault.what}: {fault.detail}')}</b><br>{plain(drawing.names[item.id])}, {stage.name}, "
                f"{words.number(fault.t_s)} s"
                for _, stage, fault in faults
            ],
        }
    ]
