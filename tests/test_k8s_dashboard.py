"""The dashboard can be loaded, and every query asks for something that is exported or recorded."""

from __future__ import annotations

import json
import re
from typing import Any

import promql_parser
import pytest
import yaml

from tests.k8s_rendered import OVERLAYS, RULES, of_kind

TRITON = {
    f"nv_inference_{name}"
    for name in (
        "request_success",
        "request_failure",
        "count",
        "exec_count",
        "request_duration_us",
        "queue_duration_us",
        "compute_input_duration_us",
        "compute_infer_duration_us",
        "compute_output_duration_us",
        "pending_request_count",
        "first_response_histogram_ms_bucket",
        "first_response_histogram_ms_count",
    )
} | {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes", "nv_cpu_utilization"}
EXPORTED = TRITON | {f":tensorflow:serving:request_{name}" for name in ("count", "latency_sum", "latency_count")}
SERIES = re.compile(r"[a-zA-Z_:][\w:]*(?=\{)")


def dashboard() -> dict[str, Any]:
    (config,) = (
        item for item in of_kind(OVERLAYS[0], "ConfigMap") if item["metadata"]["name"] == "loadproof-dashboard"
    )
    assert config["metadata"]["labels"] == {"grafana_dashboard": "1"}
    (text,) = config["data"].values()
    found: dict[str, Any] = json.loads(text)
    return found


QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in dashboard()["panels"]
    for target in panel["targets"]
]
RULE_EXPRESSIONS = [
    rule["expr"] for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]
]


def recorded() -> set[str]:
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def selectors(expression: str) -> set[str]:
    """The series that an expression selects, as the parser sees them: it writes a brace behind each."""
    return set(SERIES.findall(str(promql_parser.parse(expression))))


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES, ids=[f"{q[0]}: {q[2]}" for q in QUERIES])
def test_a_panel_asks_for_series_that_exist(title: str, query: str, legend: str) -> None:
    found = selectors(query)
    assert found and found <= EXPORTED | recorded(), title
    assert 'namespace="$namespace"' in query
    assert 'model=~"$model"' in query or not any(name.startswith("model:") for name in found)


@pytest.mark.parametrize("expression", RULE_EXPRESSIONS)
def test_a_rule_asks_for_series_that_exist(expression: str) -> None:
    found = selectors(expression)
    assert found and found <= EXPORTED | recorded()


def test_every_recorded_series_is_shown_or_alerted_on() -> None:
    used = {name for _, query, _ in QUERIES for name in selectors(query)}
    used |= {name for expression in RULE_EXPRESSIONS for name in selectors(expression)}
    assert recorded() <= used


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    panels = dashboard()["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels})
    assert len(places) == len(panels)
    assert all(panel["description"] for panel in panels)


def test_every_variable_of_a_query_is_one_that_the_dashboard_asks_for() -> None:
    known = {item["name"] for item in dashboard()["templating"]["list"]}
    assert {name for _, query, _ in QUERIES for name in re.findall(r"\$(\w+)", query)} <= known
