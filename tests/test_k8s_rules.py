"""The generated rules on traffic that is written down: which alert comes, which does not, and what is recorded."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.slo import Slo
from serving.monitoring.burn_rates import document
from tests.k8s_rendered import RULES, promtool

SLOS = {"churn": Slo(p99_ms=50, error_rate=0.001), "churn_next": Slo(p50_ms=20, p99_ms=40, error_rate=0)}
FIRING = 'count by (alertname, window, service, objective) (ALERTS{alertstate="firing"})'
MODEL = 'namespace="live", pod="a", model="churn__onnx"'
HISTOGRAM = "nv_inference_first_response_histogram_ms"


def counter(name: str, per_minute: float, labels: str = MODEL, minutes: int = 600) -> dict[str, str]:
    """A counter that grows evenly."""
    return {"series": f"{name}{{{labels}}}", "values": f"0+{per_minute:g}x{minutes}"}


def requests(answered: float, failed: float, labels: str = MODEL) -> list[dict[str, str]]:
    """Triton's counters of a model, requests per minute."""
    return [
        counter("nv_inference_request_success", answered, labels),
        counter("nv_inference_request_failure", failed, f'{labels}, reason="BACKEND"'),
        counter("nv_inference_request_failure", 0, f'{labels}, reason="REJECTED"'),
    ]


def histogram(all_of_them: float, within: float, bound: str = "50", labels: str = MODEL) -> list[dict[str, str]]:
    return [
        counter(f"{HISTOGRAM}_count", all_of_them, labels),
        counter(f"{HISTOGRAM}_bucket", within, f'{labels}, le="{bound}"'),
        counter(f"{HISTOGRAM}_bucket", all_of_them, f'{labels}, le="+Inf"'),
    ]


def tfserving(
    answered: float, failed: float, mean_us: float = 1000, namespace: str = "live", entrypoint: str = "GRPC"
) -> list[dict[str, str]]:
    """TF Serving's counters of a model, requests per minute; only what was answered has a latency."""
    labels = f'namespace="{namespace}", pod="a", model_name="churn"'
    timed = f'{labels}, API="Predict", entrypoint="{entrypoint}"'
    return [
        counter(":tensorflow:serving:request_count", answered, f'{labels}, status="OK"'),
        counter(":tensorflow:serving:request_count", failed, f'{labels}, status="Internal"'),
        counter(":tensorflow:serving:request_latency_sum", answered * mean_us, timed),
        counter(":tensorflow:serving:request_latency_count", answered, timed),
    ]


def evaluate(
    folder: Path,
    series: list[dict[str, str]],
    at: str,
    expression: str,
    expected: dict[str, float],
    namespace: str | None = None,
) -> None:
    """Have promtool feed the rules with the series and compare what an expression gives at a time."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(document(SLOS, namespace)["spec"]))
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    case = {"expr": expression, "eval_time": at, "exp_samples": samples}
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [case]}],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = [promtool(), "test", "rules", str(folder / "tests.yaml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def alerts(folder: Path, series: list[dict[str, str]], at: str, *expected: str, namespace: str | None = None) -> None:
    """The alerts that fire at a time are these; each is its labels less `service="churn"`."""
    evaluate(folder, series, at, FIRING, {f'{{service="churn", {labels}}}': 1 for labels in expected}, namespace)


def burning(alert: str, *windows: str, also: str = "") -> list[str]:
    return [f'alertname="{alert}", window="{window}"{also}' for window in windows]


WATCHED = histogram(1000, 1000)
UNWATCHED = 'alertname="LatencyObjectiveUnwatched", objective="p99"'
SLOW_MEAN = 'alertname="MeanLatencyOverObjective"'


def test_the_committed_rules_pass_promtool(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(RULES.read_text())["spec"]))
    result = subprocess.run(
        [promtool(), "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_service_within_its_promises_wakes_nobody(tmp_path: Path) -> None:
    alerts(tmp_path, [*requests(1000, 0.9), *histogram(1000, 991)], "9h")


def test_errors_at_a_fast_burn_page_within_the_hour(tmp_path: Path) -> None:
    alerts(tmp_path, [*requests(980, 20), *WATCHED], "1h", *burning("ErrorBudgetBurn", "1h", "6h", "3d"))


def test_errors_at_a_slow_burn_are_a_ticket_only(tmp_path: Path) -> None:
    alerts(tmp_path, [*requests(998, 2), *WATCHED], "9h", *burning("ErrorBudgetBurn", "3d"))


def test_a_page_ends_soon_after_the_errors_do(tmp_path: Path) -> None:
    ended = {"series": f'nv_inference_request_failure{{{MODEL}, reason="BACKEND"}}', "values": "0+20x120 2400+0x60"}
    series = [counter("nv_inference_request_success", 980), ended, *WATCHED]
    # Over the last hour it still burns 14 times too fast; in the last five minutes not at all.
    alerts(tmp_path, series, "127m", *burning("ErrorBudgetBurn", "6h", "3d"))


def test_late_answers_burn_the_budget_of_their_percentile(tmp_path: Path) -> None:
    late = burning("LatencyBudgetBurn", "1h", "6h", "3d", also=', objective="p99"')
    alerts(tmp_path, [*requests(1000, 0), *histogram(1000, 850)], "1h", *late)


def test_a_bucket_is_found_as_prometheus_3_writes_it(tmp_path: Path) -> None:
    late = burning("LatencyBudgetBurn", "6h", "3d", also=', objective="p99"')
    alerts(tmp_path, [*requests(1000, 0), *histogram(1000, 930, "50.0")], "1h", *late)


@pytest.mark.parametrize("series", [[], histogram(1000, 1000, "100")], ids=["no histogram", "no bucket at 50 ms"])
def test_a_promise_that_nobody_counts_is_said_to_be_unwatched(tmp_path: Path, series: list[dict[str, str]]) -> None:
    alerts(tmp_path, [*requests(1000, 0), *series], "20m")
    alerts(tmp_path, [*requests(1000, 0), *series], "1h", UNWATCHED)


def test_a_mean_over_the_tightest_promise_pages_without_any_histogram(tmp_path: Path) -> None:
    slow = counter("nv_inference_request_duration_us", 1000 * 60_000)
    alerts(tmp_path, [*requests(1000, 0), slow], "20m", SLOW_MEAN)


def test_a_mean_of_tf_serving_over_the_tightest_promise_pages(tmp_path: Path) -> None:
    slow = tfserving(1000, 0, mean_us=60_000)
    alerts(tmp_path, slow, "20m", SLOW_MEAN)
    mean = '{namespace="live", model="churn", model_name="churn"}'
    evaluate(tmp_path, slow, "20m", "round(model:tfserving_request_us:mean1m)", {mean: 60_000})


def test_a_mean_of_tf_serving_is_that_of_both_protocols_together(tmp_path: Path) -> None:
    of_rest = tfserving(1000, 0, mean_us=60_000, entrypoint="REST")[2:]  # counted already, by whatever protocol
    alerts(tmp_path, [*tfserving(1000, 0, mean_us=30_000), *of_rest], "20m")


def test_no_ticket_stays_open_for_what_nobody_can_count_of_tf_serving(tmp_path: Path) -> None:
    alerts(tmp_path, tfserving(1000, 0), "1h")


ELSEWHERE = MODEL.replace("live", "other")


def test_what_is_promised_in_one_namespace_wakes_nobody_for_another(tmp_path: Path) -> None:
    slow = counter("nv_inference_request_duration_us", 500 * 60_000, ELSEWHERE)
    series = [*requests(500, 500, ELSEWHERE), *histogram(500, 0, labels=ELSEWHERE), slow]
    burns = (
        *burning("ErrorBudgetBurn", "1h", "6h", "3d"),
        *burning("LatencyBudgetBurn", "1h", "6h", "3d", also=', objective="p99"'),
    )
    alerts(tmp_path, series, "1h", *burns, SLOW_MEAN, namespace="other")
    alerts(tmp_path, series, "1h", namespace="live")


def test_a_share_of_slow_answers_is_recorded_by_the_rules_of_its_own_namespace_alone(tmp_path: Path) -> None:
    labels = 'namespace="other", model="churn__onnx", service="churn", objective="p99"'
    series = histogram(500, 250, labels=ELSEWHERE)
    for namespace, recorded in (("other", {f"model:slow:ratio_rate5m{{{labels}}}": 0.5}), ("live", {})):
        evaluate(tmp_path, series, "1h", "model:slow:ratio_rate5m", recorded, namespace)


def test_tf_serving_in_another_namespace_wakes_nobody_either(tmp_path: Path) -> None:
    series = tfserving(500, 500, mean_us=60_000, namespace="other")
    burns = burning("ErrorBudgetBurn", "1h", "6h", "3d")
    alerts(tmp_path, series, "1h", *burns, SLOW_MEAN, namespace="other")
    alerts(tmp_path, series, "1h", namespace="live")


def test_models_of_which_one_name_begins_with_the_other_are_kept_apart(tmp_path: Path) -> None:
    other = MODEL.replace("churn__onnx", "churn_next__onnx")
    series = [*requests(1000, 0), *WATCHED, *requests(0, 1000, other)]
    # churn_next promises no error at all, which is a budget that cannot burn; its latency nobody counts.
    evaluate(
        tmp_path,
        series,
        "2h",
        FIRING,
        {
            f'{{alertname="LatencyObjectiveUnwatched", service="churn_next", objective="{name}"}}': 1
            for name in ("p50", "p99")
        },
    )


def test_failures_of_tf_serving_burn_the_same_budget(tmp_path: Path) -> None:
    alerts(tmp_path, tfserving(960, 40), "1h", *burning("ErrorBudgetBurn", "1h", "6h", "3d"))
    ratio = 'model:errors:ratio_rate5m{namespace="live", model_name="churn", engine="tfserving", model="churn"}'
    evaluate(tmp_path, tfserving(960, 40), "1h", "model:errors:ratio_rate5m", {ratio: 0.04})


def record(folder: Path, series: list[dict[str, str]], name: str, expected: dict[str, float]) -> None:
    evaluate(folder, series, "10m", name, {f"{name}{labels}": value for labels, value in expected.items()})


def test_a_busy_models_queue_is_not_thinned_by_idle_neighbours(tmp_path: Path) -> None:
    idle = [MODEL.replace("churn__onnx", f"idle{number}") for number in range(9)]
    series: list[Any] = [
        *requests(6000, 0),
        counter("nv_inference_queue_duration_us", 6000 * 2000),
        *(item for labels in idle for item in requests(0, 0, labels)),
        *(counter("nv_inference_queue_duration_us", 0, labels) for labels in idle),
    ]
    record(tmp_path, series, "pod:triton_queue_us:mean1m", {'{namespace="live", pod="a"}': 2000})


def test_the_queue_of_a_pod_is_right_below_one_request_per_second_and_zero_when_idle(tmp_path: Path) -> None:
    quiet, idle = MODEL, MODEL.replace('pod="a"', 'pod="b"')
    series = [
        *requests(6, 0, quiet),
        counter("nv_inference_queue_duration_us", 6 * 500, quiet),
        *requests(0, 0, idle),
        counter("nv_inference_queue_duration_us", 0, idle),
    ]
    record(
        tmp_path,
        series,
        "pod:triton_queue_us:mean1m",
        {'{namespace="live", pod="a"}': 500, '{namespace="live", pod="b"}': 0},
    )


def test_where_nothing_is_answered_the_waiting_requests_are_seen(tmp_path: Path) -> None:
    series = [
        *requests(0, 0),
        counter("nv_inference_queue_duration_us", 0),
        {"series": f"nv_inference_pending_request_count{{{MODEL}}}", "values": "40x20"},
    ]
    record(tmp_path, series, "pod:triton_pending_requests:mean1m", {'{namespace="live", pod="a"}': 40})


def test_compute_and_batch_are_means_over_both_pods(tmp_path: Path) -> None:
    other = MODEL.replace('pod="a"', 'pod="b"')
    series = [
        *(item for labels in (MODEL, other) for item in requests(300, 0, labels)),
        *(counter(f"nv_inference_compute_{part}_duration_us", 600, MODEL) for part in ("input", "infer", "output")),
        *(counter(f"nv_inference_compute_{part}_duration_us", 1200, other) for part in ("input", "infer", "output")),
        counter("nv_inference_count", 1200),
        counter("nv_inference_exec_count", 100),
    ]
    labels = '{namespace="live", model="churn__onnx"}'
    record(tmp_path, series, "model:triton_compute_us:mean1m", {labels: 9})
    record(tmp_path, series, "model:triton_batch_rows:mean1m", {labels: 12})
