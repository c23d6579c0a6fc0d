"""The scaling chart of replicas: what the proxy costs is drawn beside the curve, and invalid points are not on it."""

from __future__ import annotations

from contract.scaling import Point, Scaling
from report.page.charts.drawing import Drawing
from report.page.charts.scaling import scaling
from report.page.figures import Chart
from tests import report_samples as samples

MODEL, ENDPOINT = "sentiment_torch", "sentiment_torch__onnx__triton__grpc"


def point(n: int, closed_rps: float, invalid: str = "") -> Point:
    return Point(
        n=n,
        variant=f"{ENDPOINT}__x{n}",
        closed_rps=closed_rps,
        users=16,
        p99_ms=9.0,
        max_rps=None if invalid else 0.6 * closed_rps,
        reason=invalid,
        invalid=invalid,
    )


def drawn(*points: Point, direct: Point | None) -> Chart:
    found = Scaling(
        schema_version=1,
        endpoint=ENDPOINT,
        unit="replicas",
        points=list(points),
        shared="",
        proxy="HAProxy 2.8.25 with 1 thread",
        proxy_threads=1,
        direct=direct,
        prediction=None,
        reason="3 different numbers were measured, a fit needs 5",
        complete=True,
    )
    (chart,) = scaling(Drawing(samples.report(), MODEL), found)
    return chart


def test_one_replica_without_the_proxy_stands_beside_the_curve_and_in_the_table() -> None:
    chart = drawn(point(1, 900.0), point(2, 1700.0), direct=point(1, 1000.0))
    traces = {trace["name"]: trace for trace in chart.panels[0].figures[""]["data"]}
    assert (traces["without the proxy"]["x"], traces["without the proxy"]["y"]) == ([1], [1000.0])
    assert "◆ one replica without the proxy" in chart.note and "HAProxy 2.8.25 with 1 thread." in chart.note
    assert [row[1] for row in chart.rows] == [900.0, 1700.0, 1000.0]


def test_without_it_nothing_is_said_of_it() -> None:
    chart = drawn(point(1, 900.0), direct=None)
    assert "◆" not in chart.note and len(chart.rows) == 1
    lost = drawn(point(1, 900.0), direct=point(1, 5.0, invalid="replica 1 died"))
    assert "without the proxy" not in {trace["name"] for trace in lost.panels[0].figures[""]["data"]}


def test_an_invalid_point_is_in_the_table_with_its_reason_and_not_on_the_curve() -> None:
    chart = drawn(point(1, 900.0), point(2, 30.0, invalid="replica 2 died"), point(3, 2500.0), direct=None)
    traces = {trace["name"]: trace for trace in chart.panels[0].figures[""]["data"]}
    assert traces["closed loop"]["x"] == [1, 3] and traces["highest rate under the SLO"]["x"] == [1, 3]
    assert chart.rows[1][-1] == "replica 2 died"
