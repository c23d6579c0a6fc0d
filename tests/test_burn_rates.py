"""SLOs as alerts: which can be kept, at which share, and that the committed rules are those of models.toml."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml

from contract.slo import Slo
from serving.monitoring.burn_rates import BURNS, alerts, burns, document, to_yaml
from serving.monitoring.recordings import WINDOWS, bucket, served
from tests.conftest import Command
from tests.k8s_rendered import RULES


def rules(slo: Slo, model: str = "churn") -> list[dict[str, Any]]:
    """The rules of one model."""
    found: list[dict[str, Any]] = document({model: slo})["spec"]["groups"][-1]["rules"]
    return found


def named(slo: Slo, alert: str) -> list[dict[str, Any]]:
    return [rule for rule in alerts("churn", slo) if rule["alert"] == alert]


def test_the_committed_rules_are_those_of_models_toml(command: Command) -> None:
    result = command("serving.monitoring.burn_rates")
    assert result.returncode == 0, result.stderr
    assert RULES.read_text() == result.stdout, f"run 'python -m serving.monitoring.burn_rates > {RULES}'"


@pytest.mark.parametrize(
    ("share", "factors"),
    [
        (0.001, [14.4, 6, 1]),
        (0.1, [6, 1]),  # 144 % of the requests cannot be slow
        (0.5, [1]),
        (0.0, []),  # no error at all: there is nothing to burn
    ],
)
def test_a_budget_has_the_alerts_that_can_fire(share: float, factors: list[float]) -> None:
    assert [burn.factor for burn in burns(share)] == factors


def test_every_window_of_an_alert_is_recorded() -> None:
    assert {window for burn in BURNS for window in (burn.long, burn.short)} == set(WINDOWS)


def test_the_alerts_spend_what_the_workbook_says() -> None:
    hours = {"1h": 1, "6h": 6, "3d": 72}
    spent = [round(burn.factor * hours[burn.long] / (30 * 24), 3) for burn in BURNS]
    assert (spent, [burn.severity for burn in BURNS]) == ([0.02, 0.05, 0.1], ["page", "page", "ticket"])


def test_thresholds_are_the_promised_share_times_the_burn_rate() -> None:
    (fast, *_) = named(Slo(error_rate=0.002), "ErrorBudgetBurn")
    assert fast["expr"] == (
        'model:errors:ratio_rate1h{model=~"churn(__.+)?"} > 14.4 * 0.002\nand\n'
        'model:errors:ratio_rate5m{model=~"churn(__.+)?"} > 14.4 * 0.002'
    )
    assert fast["annotations"]["summary"] == "churn: failed requests: over 2.88 % for 1h, and still"
    assert fast["annotations"]["description"].endswith("At this rate what 30 days allow is gone in 2.08 days.")


def test_each_promised_percentile_is_watched_at_its_own_share() -> None:
    found = named(Slo(p50_ms=10, p90_ms=20, p999_ms=80), "LatencyBudgetBurn")
    thresholds = {(rule["labels"]["objective"], rule["expr"].rpartition("> ")[2]) for rule in found}
    assert thresholds == {
        ("p50", "1 * 0.5"),
        ("p90", "6 * 0.1"),
        ("p90", "1 * 0.1"),
        ("p999", "14.4 * 0.001"),
        ("p999", "6 * 0.001"),
        ("p999", "1 * 0.001"),
    }


def test_the_mean_is_held_against_the_tightest_promise() -> None:
    (mean,) = named(Slo(p50_ms=7.5, p99_ms=20), "MeanLatencyOverObjective")
    assert re.findall(r"model:(\w+)_request_us:mean1m\S+ > (\S+)", mean["expr"]) == [
        ("triton", "7500"),
        ("tfserving", "7500"),
    ]


def test_a_promise_of_one_namespace_is_looked_for_in_that_one_only() -> None:
    *unscoped, of_models = document({"churn": Slo()}, "live")["spec"]["groups"]
    assert unscoped == document({"churn": Slo()})["spec"]["groups"][:-1], "what is not promised is the same everywhere"
    for rule in of_models["rules"]:
        chosen = re.findall(r"\{([^}]*)\}", rule["expr"])
        assert chosen and all('namespace="live"' in matchers for matchers in chosen), rule["expr"]
        promql_parser.parse(rule["expr"])


@pytest.mark.parametrize(
    ("name", "matches"),
    [("churn", True), ("churn__onnx", True), ("churn__onnx-fp16", True), ("churn_next", False), ("my_churn", False)],
)
def test_a_model_is_matched_under_the_names_that_it_is_served_by(name: str, matches: bool) -> None:
    pattern = served("churn").removeprefix('model=~"').removesuffix('"')
    assert bool(re.fullmatch(pattern, name)) is matches


@pytest.mark.parametrize(
    ("limit", "bound", "matches"),
    [(50, "50", True), (50, "50.0", True), (50, "500", False), (12.5, "12.5", True), (12.5, "1275", False)],
)
def test_a_bucket_is_the_one_that_ends_at_the_objective(limit: float, bound: str, matches: bool) -> None:
    pattern = bucket(limit).removeprefix('le=~"').removesuffix('"').replace("\\\\", "\\")
    assert bool(re.fullmatch(pattern, bound)) is matches


def test_a_name_with_a_dot_is_matched_literally_and_still_parses() -> None:
    for rule in rules(Slo(p99_ms=12.5), "v1.5-churn"):
        promql_parser.parse(rule["expr"])
    assert served("v1.5-churn") == 'model=~"v1\\\\.5\\\\-churn(__.+)?"'


def test_no_two_rules_have_the_same_name_and_labels() -> None:
    groups = document({name: Slo(p50_ms=5, p99_ms=20) for name in ("a", "b")})["spec"]["groups"]
    keys = [
        (rule.get("record") or rule["alert"], *sorted(rule.get("labels", {}).items()))
        for group in groups
        for rule in group["rules"]
    ]
    assert len(keys) == len(set(keys))


def test_the_file_says_what_the_document_does() -> None:
    made = document({"churn": Slo()})
    assert yaml.safe_load(to_yaml(made)) == made


def test_a_group_that_does_not_exist_is_a_usage_error(command: Command) -> None:
    result = command("serving.monitoring.burn_rates", "--group", "nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no model is in group 'nowhere'" in result.stderr
