"""The winner map: who leads by rows and users, what is a tie, who may not win, and that it is read without scripts."""

from __future__ import annotations

import csv
import io
from html import unescape
from typing import Any

import pytest

from contract.shapes import BUILT_IN, Closed, Steady
from contract.verdict import Check, Noise, Point, Report, StageResult, Variant
from report.figures.cells import rows_of
from report.judging.cell_noise import CellNoise
from report.judging.margin import of_mean
from report.page.beside import Beside
from report.page.html import csv_of, render_html
from report.page.map_words import summary
from report.page.winner_map import Cell, table, winner_maps
from tests import report_samples as samples
from tests.report_search_samples import ROWS, USERS, cell, map_report

ONNX, TORCH = "m__onnx__triton__grpc", "m__torchscript__triton__grpc"


def measured(format: str, *stages: StageResult, **changes: Any) -> Variant:
    made = samples.variant("m", format, "triton", "grpc", stages=list(stages))
    return made.model_copy(update={"rank_class": "cpu, stand-ins"} | changes)


def noise(margin: float) -> Noise:
    return samples.report().noise.model_copy(update={"low": -margin, "high": margin / 2})


def only_cell(*variants: Variant, margin: float = 0.05) -> Cell:
    """The one cell of a report of these variants."""
    (found,) = winner_maps(samples.report(variants=list(variants), noise=noise(margin)))
    (one,) = found.cells.values()
    return one


def failed(name: str) -> dict[str, Any]:
    """A stage that did not hold one constraint."""
    return {"valid": False, "checks": [Check(name=name, passed=False, detail="", recommendation=None)]}


def test_the_most_inferences_per_second_win() -> None:
    found = only_cell(measured("onnx", cell(4, 8, 900)), measured("torchscript", cell(4, 8, 1000)))
    assert (found.rows, found.users, found.winner) == (8, 4, TORCH)
    assert found.best is not None and found.best.inferences_s == pytest.approx(1000)


@pytest.mark.parametrize(("other", "leaders"), [(960, (TORCH, ONNX)), (940, (TORCH,))])
def test_a_difference_below_the_noise_is_a_tie(other: float, leaders: tuple[str, ...]) -> None:
    found = only_cell(measured("onnx", cell(4, 8, other)), measured("torchscript", cell(4, 8, 1000)), margin=0.05)
    assert found.leaders == leaders
    assert (found.winner is None) == (len(leaders) > 1)


def uneven(apart: float) -> list[Point]:
    """A window whose parts lie so far apart, relative to their mean."""
    return [Point(t_s=0.2 * n, throughput_rps=100 * (1 + apart * (-1) ** n), p50_ms=2.0) for n in range(10)]


@pytest.mark.parametrize(("apart", "tied"), [(0.02, False), (0.2, True)])
def test_a_difference_that_chance_within_the_windows_explains_is_a_tie(apart: float, tied: bool) -> None:
    onnx, torch = (cell(4, 8, figure, course=uneven(apart)) for figure in (900, 1000))
    found = only_cell(measured("onnx", onnx), measured("torchscript", torch), margin=0.0)
    assert (len(found.leaders) == 2) == tied


def test_the_noise_is_that_of_the_mean_latency_and_of_the_median_where_there_is_no_interval() -> None:
    assert of_mean(noise(0.08)) == 0.08
    assert of_mean(noise(0.08).model_copy(update={"low": None, "high": None})) == 0.012
    assert of_mean(samples.empty().noise) is None


def test_the_page_says_what_the_margin_is_and_that_no_cell_was_measured_twice() -> None:
    known, unknown = map_report(), map_report().model_copy(update={"noise": samples.empty().noise})
    borrowed = "and below 3.4 %, how far the mean latency of the open loop lies from itself (A/A)"
    once = "No cell was measured twice, so a narrow lead may be the hour's and not the variant's."
    assert borrowed in unescape(render_html(known)) and once in unescape(render_html(known))
    assert "is not known. No cell was measured twice" in unescape(render_html(unknown))


def own_noise(relative: float | None, pairs: int = 12) -> CellNoise:
    return CellNoise(ONNX, pairs, relative)


@pytest.mark.parametrize(("relative", "tied"), [(0.09, False), (0.12, True)])
def test_the_noise_of_the_cells_themselves_counts_where_they_were_measured_twice(relative: float, tied: bool) -> None:
    report = samples.report(
        variants=[measured("onnx", cell(4, 8, 900)), measured("torchscript", cell(4, 8, 1000))], noise=noise(0.5)
    )
    (found,) = winner_maps(report, own_noise(relative))
    assert (found.cells[8, 4].winner is None) == tied, "the open loop's 50 % is another figure's"
    (borrowed,) = winner_maps(report, own_noise(None, 2))
    assert borrowed.cells[8, 4].winner is None


def test_the_page_says_how_many_cells_the_margin_is_from() -> None:
    own = unescape(render_html(map_report(), Beside(cells=own_noise(0.042))))
    assert "and below 4.2 %: m__onnx__triton__grpc went through 12 of these cells twice (A/A)" in own
    assert "may be the hour's" not in own
    few = unescape(render_html(map_report(), Beside(cells=own_noise(None, 1))))
    assert "and below 3.4 %, how far the mean latency of the open loop lies from itself (A/A). Only 1 cell was" in few


def test_what_is_not_ranked_never_wins_and_is_still_shown() -> None:
    slow, fast = cell(4, 8, 100), cell(4, 8, 1000)
    found = only_cell(measured("onnx", slow), measured("torchscript", fast, rankable=False))
    assert found.winner == ONNX
    assert [(figure.variant, figure.state) for figure in found.figures] == [(TORCH, "not ranked"), (ONNX, "")]


def test_an_invalid_stage_never_wins_but_too_few_requests_for_a_p99_do_not_spoil_a_throughput() -> None:
    unsteady, few = cell(4, 8, 1000, **failed("steady")), cell(4, 8, 900, **failed("samples for p99"))
    found = only_cell(measured("onnx", few), measured("torchscript", unsteady))
    assert found.winner == ONNX and found.unopposed
    assert found.figures[0].state == "INVALID: steady"


def test_nobody_leads_where_nothing_is_ranked() -> None:
    found = only_cell(measured("onnx", cell(4, 8, 100), rankable=False))
    assert (found.leaders, found.winner, found.best) == ((), None, None)


def test_who_was_held_back_by_the_load_generator_might_lead_so_the_cell_is_undecided() -> None:
    held_back = measured("onnx", cell(4, 8, 500, client_bound=True))
    found = only_cell(held_back, measured("torchscript", cell(4, 8, 1000)))
    assert found.undecided and found.winner is None


def test_who_leads_though_the_load_generator_held_it_back_wins() -> None:
    held_back = measured("onnx", cell(4, 8, 2000, client_bound=True))
    found = only_cell(held_back, measured("torchscript", cell(4, 8, 1000)))
    assert found.winner == ONNX and not found.undecided and not found.unopposed


def test_only_equals_compete() -> None:
    gpu = measured("torchscript", cell(4, 8, 1000), rank_class="gpu, real")
    maps = winner_maps(samples.report(variants=[measured("onnx", cell(4, 8, 100)), gpu]))
    assert [(found.rank_class, found.cells[8, 4].winner) for found in maps] == [
        ("cpu, stand-ins", ONNX),
        ("gpu, real", TORCH),
    ]


def on_engine(engine: str, form: str, rate: float, **changes: Any) -> Variant:
    made = measured(form, cell(4, 8, rate))
    return made.model_copy(update={"id": f"m__{form}__{engine}__grpc", "engine": engine} | changes)


def test_where_engines_compete_each_with_a_choice_has_a_map_of_its_own() -> None:
    variants = [on_engine("triton", "onnx", 900), on_engine("triton", "torchscript", 700)]
    variants.append(on_engine("tfserving", "savedmodel", 1000))
    made = samples.report(variants=variants)
    whole, triton = winner_maps(made)
    assert (whole.among, triton.among) == ("cpu, stand-ins", "cpu, stand-ins, Triton alone")
    assert [found.cells[8, 4].winner for found in (whole, triton)] == ["m__savedmodel__tfserving__grpc", ONNX]
    assert [len(found.of(made)) for found in (whole, triton)] == [3, 2]


def test_an_engine_that_is_not_ranked_competes_with_nobody_so_there_is_one_map() -> None:
    variants = [on_engine("triton", "onnx", 900), on_engine("triton", "torchscript", 700)]
    variants.append(on_engine("tfserving", "savedmodel", 1000, rankable=False))
    assert [found.engine for found in winner_maps(samples.report(variants=variants))] == [""]


@pytest.mark.parametrize(
    ("stage", "rows"),
    [
        (cell(1, 32, 100), 32),
        (cell(1, 32, 100, payloads=""), None),
        (cell(1, 32, 100, payloads="rows-1-8"), None),
        (cell(1, 32, 100, payloads="mine_rows-8"), None),
        (samples.stage("open-200", 3.0, payloads="rows-8"), None),
    ],
)
def test_a_cell_is_a_closed_stage_whose_requests_all_have_the_same_rows(stage: StageResult, rows: int | None) -> None:
    assert rows_of(stage) == rows


def test_a_run_without_such_stages_has_no_map_on_its_page() -> None:
    assert winner_maps(samples.report()) == []
    assert 'id="map"' not in render_html(samples.report()) and "#map" not in render_html(samples.report())


def test_the_sentence_says_that_the_winner_changes() -> None:
    torch, *_ = winner_maps(map_report())
    text = summary(torch, {})
    assert text.startswith("The winner changes with rows and users: of 12 cells")
    assert "onnx__triton__grpc leads in 4" in text and "torchscript__triton__grpc leads in 4" in text
    assert text.endswith("4 are tied.")


def test_every_cell_names_its_winner_in_words_that_need_no_script() -> None:
    report = map_report()
    page = render_html(report)
    section = page[page.index('<section id="map"') : page.index('<section id="parity"')]
    maps = winner_maps(report)
    assert section.count('class="text won"') == sum(c.winner is not None for m in maps for c in m.cells.values())
    assert section.count("<b>tie</b>") == sum(len(c.leaders) > 1 for m in maps for c in m.cells.values())
    assert "<b>torchscript on Triton, gRPC</b>" in section


def test_the_download_holds_every_figure_with_its_place() -> None:
    found, *_ = winner_maps(map_report())
    rows = list(csv.DictReader(io.StringIO(csv_of(table(found, {}, "map-1")))))
    assert len(rows) == 4 * len(ROWS) * len(USERS)
    assert {row["place"] for row in rows} == {"wins", "tie", ""}


def test_the_built_in_plan_goes_through_the_grid_and_one_open_stage_without_which_nothing_is_ranked() -> None:
    *closed, opened = BUILT_IN["map"].stages
    assert isinstance(opened, Steady)
    places = [(stage.payloads.rows, stage.users) for stage in closed if isinstance(stage, Closed)]
    assert places == [([rows], users) for rows in ROWS for users in USERS]


def test_a_missing_cell_is_said_to_be_missing() -> None:
    report: Report = samples.report(variants=[measured("onnx", cell(1, 1, 100), cell(4, 8, 100))])
    assert render_html(report).count("not measured</td>") == 2
