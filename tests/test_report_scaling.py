"""The scaling chart: measured points always, the law where it was fitted, and the reason where it was not."""

from __future__ import annotations

from typing import Any

import pytest

from contract.scaling import Scaling
from report.page.charts.drawing import Drawing
from report.page.charts.scaling import law, scaling
from report.page.figures import Chart
from tests import report_samples as samples
from tests.report_rare_samples import FITTED, MODEL, scaled


def drawn(found: Scaling) -> Chart:
    (chart,) = scaling(Drawing(samples.report(), MODEL), found)
    return chart


def traces(chart: Chart) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in chart.panels[0].figures[""]["data"]}


def test_the_law_is_that_of_gunther() -> None:
    assert law(FITTED, 1) == 100
    assert law(FITTED, 5) == pytest.approx(500 / (1 + 0.4 + 0.2))


def test_every_measured_point_is_drawn_and_the_law_goes_on_to_its_peak() -> None:
    found = traces(drawn(scaled()))
    assert found["closed loop"]["x"] == [1, 2, 3, 4, 5]
    assert found["highest rate under the SLO"]["x"] == [1, 2, 3, 4]
    assert found["law"]["x"][0] == 1 and found["law"]["x"][-1] == pytest.approx(90**0.5)
    assert max(found["law"]["y"]) == pytest.approx(found["law"]["y"][-1])


def test_a_peak_that_is_far_away_is_not_drawn_as_if_it_had_been_measured() -> None:
    far = FITTED.model_copy(update={"peak": 200.0})
    assert traces(drawn(scaled(far)))["law"]["x"][-1] == 10
    none = FITTED.model_copy(update={"peak": None, "peak_rps": None})
    assert traces(drawn(scaled(none)))["law"]["x"][-1] == 5


def test_without_a_prediction_the_points_stand_alone_with_the_reason() -> None:
    chart = drawn(scaled(None, numbers=(1, 2, 3, 4)))
    assert "law" not in traces(chart)
    assert "4 points were measured, at least 5 are needed." in chart.note
    assert [row[5] for row in chart.rows] == [None] * 4


def test_an_invalid_point_is_drawn_as_one_and_no_line_goes_through_it() -> None:
    found = scaled(None)
    spoiled = found.points[2].model_copy(update={"invalid": "sends were late"})
    chart = drawn(found.model_copy(update={"points": [*found.points[:2], spoiled, *found.points[3:]]}))
    assert traces(chart)["closed loop"]["x"] == [1, 2, 4, 5]
    assert traces(chart)["INVALID"]["x"] == [3] and "sends were late" in traces(chart)["INVALID"]["hovertext"][0]
    assert "✕ INVALID" in chart.note and "INVALID" not in traces(drawn(found))


def test_shared_cores_are_said_beside_the_figure() -> None:
    assert "shared cores with the servers: 0, 1." in drawn(scaled(shared="0, 1")).note
    assert "shared" not in drawn(scaled()).note


def test_a_rate_that_was_not_found_has_its_reason_in_the_table() -> None:
    *_, last = drawn(scaled()).rows
    assert (last[4], last[-1]) == (None, "no rate kept the objectives")


def test_only_the_model_that_was_scaled_has_the_chart() -> None:
    assert scaling(Drawing(samples.report(), "sentiment_keras"), scaled()) == []
    assert scaling(Drawing(samples.report(), MODEL), None) == []
    assert scaling(Drawing(samples.report(), MODEL), scaled(points=[])) == []
