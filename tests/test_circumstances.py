"""What stands beside every figure: device, shared cores, what is no real engine; and what a report leaves open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.records import VariantPlan
from contract.slo import Slo
from contract.verdict import Report
from report.beside import caveats
from report.beside.circumstances import circumstances
from report.beside.not_measured import not_measured
from report.page.html import render_html
from tests import report_samples as samples
from tests.builders import endpoint, plan, search, server
from tests.report_search_samples import map_report, search_report


def test_the_line_names_device_shared_cores_embedded_engines_and_stand_ins() -> None:
    report = samples.report()
    keras = [variant for variant in report.variants if variant.model == "sentiment_keras"]
    assert circumstances(report, keras) == (
        "Measured on a CPU only; load generator and servers share 2 cores; "
        "TF Serving (embedded) is shown and never ranked; a backend stands in for the native one of onnx."
    )


def test_nothing_is_said_that_does_not_hold() -> None:
    real = samples.variant("m", "savedmodel", "triton", "http", device="gpu 0")
    assert circumstances(samples.report(warnings=[]), [real]) == "Measured on gpu 0."
    assert circumstances(samples.report(), []) == ""


def test_several_devices_are_told_apart() -> None:
    ran = [
        samples.variant("m", form, "triton", "http", device=device)
        for form, device in (("onnx", "cpu"), ("savedmodel", "gpu 0"))
    ]
    assert circumstances(samples.report(warnings=[]), ran).startswith("Measured on a CPU (onnx), gpu 0 (savedmodel); ")


def test_that_the_cores_were_shared_is_found_in_the_warning_that_is_written() -> None:
    written = caveats.warnings(plan(VariantPlan(id="a", endpoint=endpoint(), stages=[], repeat_of=None)))
    assert "share 2 cores" in circumstances(samples.report(warnings=written), samples.report().variants)


@pytest.mark.parametrize(
    ("same_machine", "place", "told"), [(False, "url", 1), (False, "process", 0), (True, "url", 0)]
)
def test_that_the_servers_ran_elsewhere_is_told(same_machine: bool, place: str, told: int) -> None:
    planned = plan(
        VariantPlan(id="a", endpoint=endpoint(), stages=[], repeat_of=None),
        same_machine=same_machine,
        servers=[server(place=place)],
    )
    assert len([text for text in caveats.warnings(planned) if text.startswith(caveats.ELSEWHERE)]) == told


@pytest.mark.parametrize(("slo", "told"), [(Slo(), True), (Slo(rate=100), False), (Slo(p50_ms=5), False)])
def test_objectives_that_nobody_stated_are_called_the_defaults(slo: Slo, told: bool) -> None:
    one = VariantPlan(id="a", endpoint=endpoint(slo=slo), stages=[], repeat_of=None)
    said = [text for text in caveats.warnings(plan(one)) if "objectives are the defaults" in text]
    assert len(said) == told
    if told:
        assert (
            "(p99 <= 50 ms, 99.9 % without error, at 200 requests/s): words. If that is not what was promised"
            in said[0]
        )


def test_only_what_ran_on_a_cpu_is_said_to_have() -> None:
    devices = (("cpu", "http"), ("gpu 0", "grpc"))
    planned = [
        VariantPlan(id=protocol, endpoint=endpoint(device=device, id=protocol), stages=[], repeat_of=None)
        for device, protocol in devices
    ]
    both, one = caveats.warnings(plan(*planned)), caveats.warnings(plan(planned[0]))
    assert "http ran on a CPU; nothing there says how a GPU would do." in both
    assert "Everything ran on a CPU; nothing there says how a GPU would do." in one


def test_what_was_served_and_not_measured_is_told() -> None:
    item = endpoint(served_name="words__onnx", engine="triton")
    planned = plan(
        VariantPlan(id="a", endpoint=item, stages=[], repeat_of=None),
        resident=["words__onnx on triton", "words on tfserving"],
    )
    (told,) = (text for text in caveats.warnings(planned) if "not measured" in text)
    assert told.startswith("Served but not measured in this run: words on tfserving.")
    whole = planned.model_copy(update={"resident": ["words__onnx on triton"]})
    assert not any("not measured" in text for text in caveats.warnings(whole))


@pytest.mark.parametrize("report", [samples.report, search_report, map_report])
def test_the_line_stands_beside_the_tables_every_chart_and_the_map(report: Callable[[], Report]) -> None:
    page = render_html(report())
    tables = page.count('<table class="comparison"') + page.count('<table class="plain rates">')
    assert page.count('class="circumstances"') == tables + page.count("<figcaption>") + page.count('class="winner-map"')


def test_beside_the_highest_rates_only_what_was_searched_is_spoken_of() -> None:
    found = search_report()
    assert found.search is not None
    real = [item.id for item in found.variants if item.engine_kind == "real"]
    search = found.search.model_copy(update={"found": [item for item in found.search.found if item.variant in real]})
    page = render_html(found.model_copy(update={"search": search}))
    section = page[page.index('<section id="search"') :].split("</section>")[0]
    assert "Measured on a CPU only; load generator and servers share 2 cores" in section
    assert "embedded" not in section and "TF Serving (embedded) is shown" in page


def test_what_was_not_measured_is_said_with_the_command_that_measures_it() -> None:
    everything = {question.command.split(",")[0] for question in not_measured(samples.report())}
    assert everything == {"make slo", "make loadtest PLAN=map", "make scale", "make soak", "make overload"}
    assert "make loadtest PLAN=map" not in {question.command for question in not_measured(map_report())}
    assert "The highest rate under the objectives" not in {
        question.what for question in not_measured(samples.report(search=search()))
    }
    assert "make scale" in render_html(samples.report())
