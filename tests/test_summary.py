"""One stage's records become its figures: hand-made requests whose figures are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.records import ServerCounters, Stage, StageObservation
from contract.samples import SCHEMA
from contract.slo import Slo
from contract.verdict import StageResult
from report.figures.answers import Judged
from report.figures.course import course
from report.figures.series import Samples
from report.figures.summary import attribute, percentiles, summarize
from tests.builders import MILLISECOND, SECOND, closed_stage, open_stage, records

Row = tuple[float, float, float]
START_NS = 5 * SECOND


def judged(checked: int = 8, wrong: int = 0, reason: str | None = None) -> Judged:
    found = Judged()
    found.checked, found.wrong, found.first_reason = checked, wrong, reason
    return found


def observed(seconds: float, stage: int = 0, **changes: Any) -> StageObservation:
    """A window that begins at ``START_NS``."""
    fields: dict[str, Any] = {
        "stage": stage,
        "window_start_ns": START_NS,
        "window_end_ns": START_NS + round(seconds * SECOND),
        "client_cpu": 0.2,
        "server": None,
    }
    return StageObservation(**(fields | changes))


def result(
    rows: list[Row],
    stage: Stage | None = None,
    seconds: float = 1.0,
    errors: dict[int, str] | None = None,
    samples: Samples | None = None,
    **more: Any,
) -> StageResult:
    """The figures of requests given in milliseconds since the window's start."""
    table = records(rows, errors=errors, start_ns=START_NS)
    stage = stage or open_stage(duration_s=seconds)
    return summarize(stage, [observed(seconds, **more)], table, judged(), Slo(), samples=samples)


def server_samples(seconds: float, pids: tuple[int, ...] = (7,)) -> Samples:
    """A server of one core, sampled from a second before the window to a second after; a pid per equal part."""
    times = np.arange(-1.0, seconds + 1.0, 0.5).tolist()
    rows = [
        {
            "at_ns": START_NS + round(t * SECOND),
            "subject": "triton",
            "absent": "",
            "pid": pids[min(int(len(pids) * max(t, 0.0) / seconds), len(pids) - 1)],
            "cpu_s": 10.0 + t,
            "memory_bytes": 100 * 2**20,
        }
        for t in times
    ]
    return Samples(pa.Table.from_pylist(rows, schema=SCHEMA), "triton")


def spaced(count: int, latency_ms: float = 5.0, seconds: float = 1.0) -> list[Row]:
    """``count`` requests over the window, all with one latency and sent at once."""
    step = seconds * 1000 / count
    return [(index * step, index * step, index * step + latency_ms) for index in range(count)]


def shuffled(latencies: list[float]) -> list[Row]:
    """One request per millisecond with these latencies, in a random but fixed order."""
    order = np.random.default_rng(1).permutation(len(latencies))
    return [(float(index), float(index), index + latencies[which]) for index, which in enumerate(order)]


def test_percentiles_are_latencies_that_some_request_really_had() -> None:
    found = result(shuffled([float(n) for n in range(1, 1001)]), seconds=1.0).latency_ms
    values = [found.p50.value, found.p90.value, found.p95.value, found.p99.value, found.p999.value, found.max.value]
    assert values == [500.0, 900.0, 950.0, 990.0, 999.0, 1000.0]


def test_latency_counts_from_the_intended_and_service_time_from_the_actual_send() -> None:
    found = result([(float(n), n + 30.0, n + 34.0) for n in range(500)])
    assert found.latency_ms.p50.value == 34.0
    assert found.service_ms.p50.value == 4.0
    assert found.sent_late_ms.p50.value == 30.0


def test_only_what_was_intended_within_the_window_counts() -> None:
    rows = [(-1.0, -1.0, 900.0), (0.0, 0.0, 1.0), (999.0, 999.0, 1001.0), (1000.0, 1000.0, 1001.0)]
    found = result(rows)
    assert found.requests == 2
    assert found.latency_ms.max.value == 2.0


def test_other_stages_do_not_mix_in() -> None:
    table = pa.concat_tables(
        [records(spaced(10, 5.0), start_ns=START_NS), records(spaced(30, 50.0), stage=1, start_ns=START_NS)]
    )
    found = summarize(open_stage(), [observed(1.0, stage=1)], table, judged(), Slo())
    assert (found.requests, found.latency_ms.p50.value) == (30, 50.0)


def test_the_order_of_the_parts_does_not_matter() -> None:
    rows = shuffled([1.0 + n % 37 for n in range(800)])
    assert result(list(reversed(rows))) == result(rows)


def test_failures_are_counted_by_class_and_kept_out_of_the_latencies() -> None:
    rows = [*spaced(500, 5.0), (100.0, 100.0, 900.0), (200.0, 200.0, 900.0), (300.0, 300.0, 900.0)]
    found = result(rows, errors={500: "timeout", 501: "http 503", 502: "timeout"})
    assert found.errors == {"timeout": 2, "http 503": 1}
    assert found.requests == 503
    assert found.latency_ms.max.value == 5.0


@pytest.mark.parametrize(("failed", "told"), [(5, False), (6, True)])
def test_percentiles_of_good_answers_alone_say_so_where_the_p99_of_all_is_a_failure(failed: int, told: bool) -> None:
    found = result(spaced(500), errors=dict.fromkeys(range(failed), "timeout"))
    assert found.valid
    assert any("1.20% of the requests failed" in note for note in found.notes) == told


REOPENED = "kept connection closed or reset by the server and went over a new one"


@pytest.mark.parametrize(
    ("reopened", "told"),
    [
        (0, []),
        (1, [f"1 request found its {REOPENED}: no failure, but its latency has it in"]),
        (3, [f"3 requests found their {REOPENED}: no failures, but their latency has it in"]),
    ],
)
def test_requests_that_went_over_a_new_connection_are_told(reopened: int, told: list[str]) -> None:
    assert result(spaced(500), reopened=reopened).notes == told


def test_throughput_is_good_answers_per_second_of_the_window() -> None:
    found = result(spaced(400, 5.0, seconds=2.0), seconds=2.0, errors={0: "timeout"})
    assert found.throughput_rps == pytest.approx(199.5, abs=1.0)
    assert found.offered_rps == 200.0


def test_answers_that_come_in_the_window_count_though_they_were_asked_for_before_it() -> None:
    # One user of a server that takes a second, asked half a second before the window: three answers in three seconds.
    rows = [(-500.0 + 1000 * n, -500.0 + 1000 * n, 500.0 + 1000 * n) for n in range(4)]
    assert result(rows, closed_stage(1), seconds=3.0).throughput_rps == pytest.approx(1.0)


def test_a_closed_loop_offers_no_rate_and_names_its_users_as_target() -> None:
    found = result(spaced(100), closed_stage(16))
    assert (found.mode, found.target, found.offered_rps) == ("closed", 16.0, None)


def test_an_open_loop_names_its_rate_as_target() -> None:
    assert result(spaced(100), open_stage(123.5)).target == 123.5


def test_a_stage_without_a_single_request_has_no_figures_and_is_not_valid() -> None:
    found = result([])
    assert not found.valid
    assert found.latency_ms.p99.value is None
    assert found.latency_ms.p99.missing == 459
    assert found.throughput_rps == 0.0
    assert found.attribution_ms.client is None


def test_a_stage_in_which_everything_failed_has_no_latency_and_is_not_valid() -> None:
    found = result(spaced(500), errors=dict.fromkeys(range(500), "http 500"))
    assert not found.valid
    assert found.latency_ms.p50.value is None
    assert found.errors == {"http 500": 500}


def test_what_a_stage_was_for_and_what_it_sent_stand_beside_its_figures() -> None:
    probe = open_stage().model_copy(update={"purpose": "probe", "judged": False, "payloads": "batch-8"})
    found = result(spaced(100), probe)
    assert (found.purpose, found.judged, found.payloads) == ("probe", False, "batch-8")


def test_reasons_are_the_failed_checks_by_name() -> None:
    found = result(spaced(20))
    assert [reason.split(":")[0] for reason in found.reasons] == ["samples for p99"]
    assert [item.name for item in found.checks if not item.passed] == ["samples for p99"]


@pytest.mark.parametrize(("cpu", "bound"), [(0.80, False), (0.81, True), (1.0, True)])
def test_a_busy_client_is_said_beside_the_throughput(cpu: float, bound: bool) -> None:
    found = result(spaced(100), closed_stage(16), client_cpu=cpu)
    assert found.client_bound is bound
    assert bool(found.notes) is bound
    if bound:
        assert "lower bound" in found.notes[0]


def test_wrong_answers_make_the_stage_invalid() -> None:
    table = records(spaced(500), start_ns=START_NS)
    found = summarize(open_stage(), [observed(1.0)], table, judged(8, 1, "r0003: NaN in 1 elements"), Slo())
    assert not found.valid
    assert (found.answers_checked, found.wrong_answers) == (8, 1)
    assert any("r0003: NaN" in reason for reason in found.reasons)


def test_unlooked_at_answers_make_the_stage_invalid() -> None:
    table = records(spaced(500), start_ns=START_NS)
    assert not summarize(open_stage(), [observed(1.0)], table, judged(0), Slo()).valid


COUNTERS = ServerCounters(
    inferences=400,
    executions=100,
    success=100,
    queue_ns=100 * MILLISECOND,
    compute_input_ns=20 * MILLISECOND,
    compute_infer_ns=250 * MILLISECOND,
    compute_output_ns=30 * MILLISECOND,
)


def test_attribution_adds_up_to_the_mean_latency() -> None:
    found = attribute(np.full(100, 10.0), np.full(100, 2.0), COUNTERS)
    assert (found.client, found.queue, found.compute, found.wire) == (2.0, 1.0, 3.0, 4.0)


def test_the_wire_is_never_negative() -> None:
    assert attribute(np.full(100, 3.0), np.full(100, 1.0), COUNTERS).wire == 0.0


@pytest.mark.parametrize(
    "server", [None, COUNTERS.model_copy(update={"success": 0})], ids=["no counters", "nothing counted"]
)
def test_without_counters_only_the_clients_part_is_known(server: ServerCounters | None) -> None:
    found = attribute(np.full(10, 5.0), np.full(10, 1.0), server)
    assert (found.client, found.wire, found.queue, found.compute) == (1.0, None, None, None)


def test_the_mean_batch_is_rows_per_execution() -> None:
    assert result(spaced(100), server=COUNTERS).mean_batch == 4.0
    assert result(spaced(100)).mean_batch is None
    assert result(spaced(100), server=COUNTERS.model_copy(update={"executions": 0})).mean_batch is None


TFSERVING = ServerCounters(
    inferences=0,
    executions=0,
    success=100,
    queue_ns=100 * MILLISECOND,
    compute_input_ns=None,
    compute_infer_ns=300 * MILLISECOND,
    compute_output_ns=None,
)


def test_tf_serving_has_queue_and_compute_too_and_no_batch_where_it_does_not_join() -> None:
    found = attribute(np.full(100, 10.0), np.full(100, 2.0), TFSERVING)
    assert (found.client, found.queue, found.compute, found.wire) == (2.0, 1.0, 3.0, 4.0)
    assert result(spaced(100), server=TFSERVING.model_copy(update={"executions": 50})).mean_batch is None


def test_what_the_server_used_stands_beside_the_figures_of_the_load() -> None:
    found = result(spaced(600, seconds=3.0), seconds=3.0, samples=server_samples(3.0)).server_side
    assert found is not None and found.cpu is not None
    assert (found.cpu.mean, found.memory_begin_mib) == (1.0, 100.0)
    assert found.absent["gpu"] == "nothing was sampled within the window"


def test_without_samples_nothing_is_said_of_the_server() -> None:
    assert result(spaced(100)).server_side is None


def test_counters_of_a_server_that_was_restarted_in_the_window_are_not_used() -> None:
    found = result(spaced(600, seconds=3.0), seconds=3.0, server=COUNTERS, samples=server_samples(3.0, pids=(7, 9)))
    assert found.server_side is not None and found.server_side.restarts == 1
    assert (found.attribution_ms.queue, found.mean_batch) == (None, None)


def test_a_stage_of_a_minute_is_judged_over_its_length_and_a_shorter_one_is_not() -> None:
    found = result(spaced(6000, seconds=60.0), seconds=60.0, samples=server_samples(60.0)).endurance
    assert found is not None and found.memory_slope is not None
    assert [item.requests for item in found.slices] == [600] * 10
    assert found.p99_change == 0.0
    assert result(spaced(6000, seconds=59.0), seconds=59.0).endurance is None


def test_the_course_covers_the_window_in_equal_steps() -> None:
    done = np.arange(0.0, 2.0, 0.01) + 1e-6
    points = course(done, np.full(len(done), 7.0), 2.0)
    assert [point.t_s for point in points] == pytest.approx([0.1 + 0.2 * n for n in range(10)])
    assert {point.throughput_rps for point in points} == {100.0}
    assert {point.p50_ms for point in points} == {7.0}


def test_a_pause_shows_in_the_course() -> None:
    done = np.concatenate([np.arange(0.0, 0.5, 0.01), np.arange(1.5, 2.0, 0.01)]) + 1e-6
    points = course(done, np.full(len(done), 7.0), 2.0)
    assert [point.throughput_rps for point in points][3:7] == [0.0] * 4
    assert points[4].p50_ms is None


def test_a_claim_needs_samples_and_says_how_many_are_missing() -> None:
    short = percentiles(np.linspace(1.0, 2.0, 100))
    assert short.p99.value is not None
    assert short.p99.upper is None
    assert short.p99.missing > 0
    assert short.p50.value is not None


def test_an_upper_bound_is_at_least_the_value() -> None:
    found = percentiles(np.random.default_rng(3).gamma(4.0, 1.0, 5000))
    for name in ("p50", "p90", "p95", "p99"):
        entry = getattr(found, name)
        assert entry.upper >= entry.value
        assert entry.missing == 0


def test_figures_are_rounded_to_the_microsecond_and_no_further() -> None:
    assert result([(float(n), float(n), n + 1.2345678) for n in range(500)]).latency_ms.p50.value == 1.235
