"""slo.yaml: valid YAML, valid OpenSLO, and the promises of models.toml in it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from contract.slo import Slo
from contract.verdict import Report
from report.forms.openslo import LONGEST_NAME, dns_label, render_openslo
from tests import report_samples as samples

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def documents(report: Report) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(render_openslo(report)))


def promising(**objectives: float) -> list[dict[str, Any]]:
    """The SLOs of one model that promises this."""
    slo = Slo(**objectives)
    report = samples.report(
        objectives={"words": slo.figures()}, variants=[samples.variant("words", "onnx", "triton", "http")], winners=[]
    )
    return [item for item in documents(report) if item["kind"] == "SLO" and item["spec"]["service"] == "words"]


def test_every_document_is_what_the_specification_wants() -> None:
    """The rules of OpenSLO's JSON Schema for v1 and of its SDK, as far as they touch what is written here."""
    found = documents(samples.report())
    services = {item["metadata"]["name"] for item in found if item["kind"] == "Service"}
    assert [item["kind"] for item in found] == ["Service", "SLO", "SLO"] * 2
    for item in found:
        assert set(item) == {"apiVersion", "kind", "metadata", "spec"} and item["apiVersion"] == "openslo/v1"
        assert LABEL.fullmatch(item["metadata"]["name"])
    for spec in (item["spec"] for item in found if item["kind"] == "SLO"):
        assert set(spec) == {"description", "service", "indicator", "budgetingMethod", "objectives"}
        assert spec["service"] in services and len(spec["description"]) <= 1050
        assert spec["budgetingMethod"] == "Occurrences"
        (objective,) = spec["objectives"]
        assert set(objective) == {"displayName", "target"} and 0 <= objective["target"] < 1
        ratio = spec["indicator"]["spec"]["ratioMetric"]
        assert set(ratio) == {"counter", "good", "total"} and ratio["counter"] is True
        assert all(ratio[part]["metricSource"]["spec"] for part in ("good", "total"))
        assert LABEL.fullmatch(spec["indicator"]["metadata"]["name"])


def test_each_objective_is_an_slo_with_the_share_it_promises() -> None:
    found = promising(rate=100, p50_ms=5, p99_ms=20, p999_ms=50, error_rate=0.0005)
    assert {item["metadata"]["name"]: item["spec"]["objectives"][0]["target"] for item in found} == {
        "words-p50": 0.5,
        "words-p99": 0.99,
        "words-p999": 0.999,
        "words-availability": 0.9995,
    }


def test_a_latency_counts_good_answers_within_its_limit_from_the_moment_they_were_due() -> None:
    latency, availability = promising(p99_ms=12.5)
    good = latency["spec"]["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]
    assert good["where"] == "error = '' and done_ns - intended_ns <= 12500000"
    assert good["records"] == "results/20260131-120000/requests-words__*.parquet"
    answered = availability["spec"]["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]
    assert answered["where"] == "error = ''"


def test_a_promise_without_any_error_is_a_comment_for_openslo_has_no_target_of_one() -> None:
    report = samples.report(objectives={"words": Slo(error_rate=0).figures()})
    assert "# words promises that no request fails" in render_openslo(report)
    assert {item["metadata"]["name"] for item in promising(error_rate=0)} == {"words-p99"}


@pytest.mark.parametrize("name", ["words", "Words", "my_model", "my-model", "a.b", "x" * 80, "y" * 80, "Ünïcode"])
def test_names_become_dns_labels(name: str) -> None:
    assert LABEL.fullmatch(dns_label(name)) and len(dns_label(name)) <= LONGEST_NAME


def test_names_that_differ_stay_different() -> None:
    names = ["my_model", "my-model", "my.model", "My_model", "x" * 80, "x" * 81]
    assert len({dns_label(name) for name in names}) == len(names)
    assert dns_label("my_model") == "my-model"


def test_a_hostile_name_stays_a_text() -> None:
    for item in documents(samples.awkward()):
        assert LABEL.fullmatch(item["metadata"]["name"])
