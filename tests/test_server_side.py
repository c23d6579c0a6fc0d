"""What a server used in a stage: hand-made samples whose figures are known beforehand, and how the report says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.samples import SCHEMA
from contract.statistics import Floats
from contract.verdict import Endurance, ServerSide, Slice, Slope, StageResult, Used
from report.beside import server_words
from report.figures.endurance import endurance
from report.figures.series import Samples
from report.figures.server_side import server_side
from report.figures.trend import slope
from report.page.charts import Charts
from report.page.html import render_html
from tests import report_samples
from tests.builders import SECOND

MIB = 2**20
START_S = 1000.0
Row = dict[str, Any]


def window(begin_s: float = 10.0, end_s: float = 20.0) -> tuple[int, int]:
    """Seconds since the samples' start as a window."""
    return round((START_S + begin_s) * SECOND), round((START_S + end_s) * SECOND)


def rows(subject: str, seconds: float = 30.0, period_s: float = 0.5, begin_s: float = 0.0, **columns: Any) -> list[Row]:
    """Readings of one subject; a column is a function of the seconds or a constant."""
    found = []
    for t in np.arange(begin_s, begin_s + seconds, period_s).tolist():
        values = {name: value(t) if callable(value) else value for name, value in columns.items()}
        found.append({"at_ns": round((START_S + t) * SECOND), "subject": subject, "absent": "", **values})
    return found


def samples(*groups: list[Row], engine: str = "triton") -> Samples:
    table = pa.Table.from_pylist([row for group in groups for row in group], schema=SCHEMA)
    return Samples(table.sort_by("at_ns"), engine)


def usual() -> Samples:
    """A server of 1.5 cores and 100 MiB beside a load of half a core, on a machine of two cores."""
    return samples(
        rows("triton", pid=7, cpu_s=lambda t: 3 + 1.5 * t, memory_bytes=100 * MIB, private_bytes=60 * MIB, threads=9),
        rows("load", pid=8, cpu_s=lambda t: 0.5 * t),
        rows("machine", cpu_s=lambda t: 1.6 * t, core_s=lambda t: [0.9 * t, 0.7 * t], steal_s=lambda t: 0.1 * t),
        rows("gpu", absent="absent: no NVML library (pip install nvidia-ml-py)"),
    )


def test_cpu_is_cores_used_in_the_window_load_and_machine_beside_it() -> None:
    found = server_side(usual(), [window()])
    assert found.cpu == Used(mean=1.5, most=1.5)
    assert found.load_cpu == Used(mean=0.5, most=0.5)
    assert found.machine_cpu == Used(mean=0.8, most=0.8)
    assert (found.busiest_core, found.steal) == (0.9, 0.05)


def test_a_window_that_begins_and_ends_between_samples_counts_to_its_edges() -> None:
    burst = samples(rows("triton", cpu_s=lambda t: 2.0 * min(max(t - 10.0, 0.0), 1.0)))
    assert server_side(burst, [window(10.25, 12.25)]).cpu == Used(mean=0.75, most=2.0)


def test_the_most_is_that_of_the_busiest_half_second() -> None:
    uneven = samples(rows("triton", cpu_s=lambda t: t * 0.1 + (1.5 if t >= 15.0 else 0.0)))
    found = server_side(uneven, [window()]).cpu
    assert found is not None
    assert (found.mean, found.most) == (0.25, 3.1)


def test_samples_that_lie_close_together_do_not_make_a_peak() -> None:
    # The last sample of a run comes right after the one before; the kernel's clock ticks in hundredths of a second.
    table = samples(rows("triton", cpu_s=lambda t: t), rows("triton", seconds=0.1, begin_s=15.001, cpu_s=15.01))
    found = server_side(table, [window()]).cpu
    assert found is not None and found.most < 1.05


def test_memory_is_that_of_the_windows_edges() -> None:
    growing = samples(rows("triton", cpu_s=0.0, memory_bytes=lambda t: round((100 + t) * MIB)))
    found = server_side(growing, [window()])
    assert (found.memory_begin_mib, found.memory_end_mib) == (110.0, 120.0)


def test_rounds_count_together_and_what_lies_between_them_does_not() -> None:
    table = samples(
        rows(
            "triton",
            cpu_s=lambda t: t if t <= 6 else 6 + 20 * (t - 6) if t <= 10 else 86 + 2 * (t - 10),
            memory_bytes=lambda t: round(t * MIB),
        )
    )
    found = server_side(table, [window(2.0, 6.0), window(10.0, 14.0)])
    assert found.cpu == Used(mean=1.5, most=2.0)
    assert (found.memory_begin_mib, found.memory_end_mib) == (2.0, 14.0)
    assert [point.cpu for point in found.course] == [1.0] * 4 + [2.0] * 4
    assert [point.t_s for point in found.course] == [0.5 + n for n in range(8)]


def test_the_course_is_of_seconds_and_of_at_most_sixty_points() -> None:
    assert [point.t_s for point in server_side(usual(), [window()]).course] == [0.5 + n for n in range(10)]
    long = samples(rows("triton", 700.0, cpu_s=lambda t: t, memory_bytes=MIB))
    course = server_side(long, [window(10.0, 610.0)]).course
    assert len(course) == 60
    assert {point.cpu for point in course} == {1.0}


def test_other_engines_samples_do_not_mix_in() -> None:
    both = samples(rows("triton", cpu_s=lambda t: t), rows("tfserving", cpu_s=lambda t: 0.25 * t), engine="tfserving")
    found = server_side(both, [window()])
    assert found.server == "tfserving" and found.cpu == Used(mean=0.25, most=0.25)


def test_a_server_elsewhere_has_no_figures_and_the_reason_is_said() -> None:
    there = samples(rows("triton", absent="absent: the server runs elsewhere"), rows("load", cpu_s=lambda t: t))
    found = server_side(there, [window()])
    assert found.cpu is None and found.memory_begin_mib is None and found.threads is None
    assert found.absent["cpu"] == found.absent["memory"] == found.absent["connections"] == "the server runs elsewhere"
    assert found.load_cpu == Used(mean=1.0, most=1.0)


def test_without_any_sample_every_figure_says_why() -> None:
    found = server_side(Samples(SCHEMA.empty_table(), "triton"), [window()])
    assert set(found.absent) == {
        "cpu",
        "memory",
        "memory_slope",
        "connections",
        "pending",
        "load_cpu",
        "machine_cpu",
        "gpu",
    }
    assert found.absent["cpu"] == "nothing was sampled within the window"
    assert found.course == []


@pytest.mark.parametrize(
    "table",
    [
        samples(rows("triton", 14.0, cpu_s=lambda t: t)),
        samples(rows("triton", 14.0, begin_s=15.0, cpu_s=lambda t: t)),
        samples(rows("triton", 13.0, cpu_s=lambda t: t), rows("triton", 13.0, begin_s=17.0, cpu_s=lambda t: t)),
    ],
    ids=["they end early", "they begin late", "they have a gap"],
)
def test_samples_that_do_not_cover_the_window_give_no_cpu(table: Samples) -> None:
    found = server_side(table, [window()])
    assert found.cpu is None
    assert found.absent["cpu"].startswith("its samples cover too little of the window")


def test_a_restart_is_counted_and_takes_nothing_back() -> None:
    restarted = samples(
        rows("triton", 15.0, pid=7, cpu_s=lambda t: 100 + t),
        rows("triton", 15.0, begin_s=15.0, pid=9, cpu_s=lambda t: t - 15),
    )
    found = server_side(restarted, [window()])
    assert found.restarts == 1
    assert found.cpu is not None and found.cpu.mean == pytest.approx(0.95)


def test_a_server_that_was_down_in_the_window_says_so() -> None:
    down = samples(
        rows("triton", 13.0, pid=7, cpu_s=lambda t: t),
        rows("triton", 5.0, begin_s=13.0, absent="absent: process 7 is gone"),
        rows("triton", 12.0, begin_s=18.0, pid=9, cpu_s=lambda t: t - 18),
    )
    found = server_side(down, [window()])
    assert found.cpu is None and found.absent["cpu"] == "process 7 is gone"
    assert [point.cpu is None for point in found.course] == [False] * 2 + [True] * 6 + [False] * 2


def test_gpus_are_those_of_this_machine_or_else_those_of_the_servers_page() -> None:
    heat: Row = {"power_w": 60.0, "temperature_c": 40.0, "clock_mhz": lambda t: 1400 - t}
    seen = rows("gpu 0", utilization=0.5, memory_bytes=MIB, **heat)
    told = rows("triton gpu GPU-7", utilization=0.25, memory_bytes=2 * MIB, power_w=50.0)
    both = server_side(samples(seen, told), [window()])
    assert [gpu.name for gpu in both.gpus] == ["gpu 0"]
    assert both.gpus[0].utilization == Used(mean=0.5, most=0.5)
    assert (both.gpus[0].memory_mib, both.gpus[0].temperature_c, both.gpus[0].clock_mhz) == (1.0, 40.0, 1380.5)
    assert "gpu" not in both.absent
    remote = server_side(samples(told), [window()])
    assert [gpu.name for gpu in remote.gpus] == ["triton gpu GPU-7"]
    assert remote.gpus[0].clock_mhz is None


def test_without_a_gpu_the_reason_is_said() -> None:
    found = server_side(usual(), [window()])
    assert found.gpus == []
    assert found.absent["gpu"] == "no NVML library (pip install nvidia-ml-py)"


def test_waiting_requests_are_those_of_the_metrics_page() -> None:
    waiting = samples(rows("triton metrics", pending=lambda t: 8 if t == 15 else 2, utilization=0.75))
    found = server_side(waiting, [window()])
    assert found.pending == Used(mean=2.3, most=8.0)
    assert found.reported_cpu == Used(mean=0.75, most=0.75)
    assert server_side(usual(), [window()]).absent["pending"] == "the server has no page that tells"


def leak(per_hour: float, seconds: float, noise: float = 0.5) -> Samples:
    """A server whose memory grows by so many MiB per hour, with noise of so many MiB."""
    scatter = np.random.default_rng(5).normal(0.0, noise, 100_000)
    return samples(
        rows(
            "triton",
            seconds,
            cpu_s=lambda t: t,
            memory_bytes=lambda t: round((500 + per_hour * t / 3600 + scatter[int(2 * t)]) * MIB),
        )
    )


def test_a_leak_is_claimed_with_its_interval_from_a_minute_on() -> None:
    found = server_side(leak(600.0, 400.0), [window(0.0, 300.0)]).memory_slope
    assert found is not None
    assert 0 < found.low <= 600 <= found.high
    assert found.mib_per_hour == pytest.approx(600, rel=0.1)
    short = server_side(leak(600.0, 400.0), [window(0.0, 59.0)])
    assert short.memory_slope is None
    assert short.absent["memory_slope"] == "a slope is claimed from 60 s on, the longest window is 59 s"


def test_memory_that_stays_has_no_slope_and_the_interval_is_said() -> None:
    found = server_side(leak(0.0, 400.0), [window(0.0, 300.0)])
    assert found.memory_slope is None
    assert found.absent["memory_slope"].startswith("no change that is more than chance: -")


def test_memory_that_shrinks_is_claimed_too() -> None:
    found = server_side(leak(-600.0, 400.0), [window(0.0, 300.0)]).memory_slope
    assert found is not None and found.high < 0


# Memory (MiB) that does not grow, in the ways that memory has; from a random generator, two readings a second.
COURSES: dict[str, Callable[[np.random.Generator, Floats], Floats]] = {
    "noise": lambda random, at: random.normal(size=len(at)),
    "one jump": lambda random, at: np.where(at > at[-1] * random.random(), 5.0, 0.0) + random.normal(0, 0.01, len(at)),
    "saw": lambda random, at: np.mod(at + 20 * random.random(), 20.0) + random.normal(0, 0.1, len(at)),
    "steps": lambda random, at: np.cumsum((random.random(len(at)) < 0.01) * random.normal(size=len(at))),
    "random walk": lambda random, at: np.cumsum(random.normal(size=len(at))),
}


@pytest.mark.parametrize("kind", COURSES)
@pytest.mark.parametrize("n", [120, 1200])
def test_memory_that_does_not_grow_is_rarely_called_growing(kind: str, n: int) -> None:
    random, at = np.random.default_rng(11), np.arange(n) / 2
    found = [slope(at, COURSES[kind](random, at))[0] for _ in range(300)]
    claimed = sum(item is not None and not item.low <= 0 <= item.high for item in found)
    assert claimed <= 0.03 * len(found)


@pytest.mark.parametrize(("n", "per_hour"), [(120, 1000.0), (600, 200.0), (7200, 10.0)])
def test_a_real_leak_is_found_at_a_size_that_fits_the_length(n: int, per_hour: float) -> None:
    random, at = np.random.default_rng(12), np.arange(n) / 2
    found = [slope(at, random.normal(size=n) + per_hour * at / 3600)[0] for _ in range(100)]
    assert sum(item is not None and item.low > 0 for item in found) >= 90


def test_too_few_readings_have_no_slope() -> None:
    assert slope(np.arange(19.0), np.arange(19.0)) == (None, "19 readings of the memory, at least 20 needed")


def test_an_exact_line_is_found_exactly() -> None:
    found, why = slope(np.arange(100.0), np.arange(100.0) / 3600)
    assert found == Slope(mib_per_hour=1.0, low=1.0, high=1.0) and why == ""


def long_stage(slower: float = 1.0, failing_from_s: float = 1e9) -> Endurance:
    """600 seconds at ten requests a second; the last fifth is ``slower``, and one in ten fails after a moment."""
    at = np.arange(0.0, 600.0, 0.1)
    latency = np.where(np.arange(len(at)) % 50 == 0, 20.0, 5.0) * np.where(at >= 480.0, slower, 1.0)
    good = ~((at >= failing_from_s) & (np.arange(len(at)) % 10 == 3))
    return endurance(window(0.0, 600.0), at, latency, good, leak(0.0, 700.0))


def test_the_p99_of_each_part_stands_against_the_first() -> None:
    found = long_stage(slower=2.0)
    assert [item.p99_ms for item in found.slices] == [20.0] * 8 + [40.0] * 2
    assert [item.t_s for item in found.slices] == [30.0 + 60 * n for n in range(10)]
    assert found.p99_change == 1.0
    assert long_stage().p99_change == 0.0


def test_errors_are_counted_part_by_part() -> None:
    found = long_stage(failing_from_s=300.0)
    assert [item.failed for item in found.slices] == [0] * 5 + [60] * 5
    assert {item.requests for item in found.slices} == {600}


def test_a_long_stage_gives_its_memory_slope_even_where_it_may_be_chance() -> None:
    found = long_stage().memory_slope
    assert found is not None and found.low < 0 < found.high


def test_a_part_with_too_few_answers_has_no_p99() -> None:
    at = np.arange(0.0, 600.0, 1.0)
    found = endurance(window(0.0, 600.0), at, np.full(600, 5.0), np.ones(600, dtype=bool), None)
    assert [item.p99_ms for item in found.slices] == [5.0]
    assert found.p99_change is None
    assert found.absent == {
        "memory_slope": "the servers were not sampled",
        "p99_change": "fewer than two parts of the stage have 500 good answers",
    }


def test_a_stage_without_requests_has_one_empty_part() -> None:
    nothing = np.empty(0)
    found = endurance(window(0.0, 60.0), nothing, nothing, np.empty(0, dtype=bool), None)
    assert found.slices == [Slice(t_s=30.0, requests=0, failed=0, p99_ms=None)]


def stage(side: ServerSide | None = None, **changes: Any) -> StageResult:
    return report_samples.stage("open-200", 3.0, server_side=side, **changes)


def shown(*stages: StageResult) -> Any:
    return report_samples.report(variants=[report_samples.variant("m", "onnx", "triton", "http", stages=list(stages))])


def test_the_sentence_has_the_servers_figures_beside_the_loads() -> None:
    found = "; ".join(server_words.used(server_side(usual(), [window()])))
    assert found.startswith("server 1.50 cores (most 1.50); load generator 0.50 cores (most 0.50); machine 80 % busy")
    assert "memory 100 to 100 MiB (60 MiB private); 9 threads" in found


def test_a_machine_is_never_busier_than_the_whole() -> None:
    side = server_side(usual(), [window()]).model_copy(update={"machine_cpu": Used(mean=0.99, most=1.013)})
    assert "machine 99 % busy (most 100 %)" in "; ".join(server_words.used(side))


def test_a_figure_that_is_missing_is_said_with_its_reason() -> None:
    lines = server_words.absent(server_side(usual(), [window()]))
    assert "GPU: absent, no NVML library (pip install nvidia-ml-py)" in lines
    assert "waiting requests: absent, the server has no page that tells" in lines
    there = samples(rows("triton", absent="absent: the server runs elsewhere"))
    lines = server_words.absent(server_side(there, [window()]))
    assert "server CPU, server memory, connections: absent, the server runs elsewhere" in lines


def test_every_absent_figure_has_a_name() -> None:
    missing = server_side(Samples(SCHEMA.empty_table(), "triton"), [window()]).absent
    assert set(missing) | {"p99_change"} == set(server_words.NAMES)


def test_a_run_without_samples_says_so_on_the_page() -> None:
    page = render_html(shown(stage()))
    assert server_words.NOT_SAMPLED.rstrip(".") in page
    assert "What the server used" not in page


def test_the_page_shows_sentence_reasons_and_the_parts_of_a_long_stage() -> None:
    page = render_html(shown(stage(server_side(usual(), [window()]), endurance=long_stage(2.0, 300.0))))
    assert "server 1.50 cores" in page
    assert "GPU: absent, no NVML library" in page
    assert "p99 of the last part +100.0 % against the first" in page
    assert "60 of 600" in page
    assert "What the server used" in page


def test_the_chart_has_cpu_of_server_and_load_and_the_change_of_memory() -> None:
    growing = samples(
        rows("triton", cpu_s=lambda t: 1.5 * t, memory_bytes=lambda t: round((100 + t) * MIB)),
        rows("load", cpu_s=lambda t: 0.5 * t),
    )
    chart = Charts(shown(stage(server_side(growing, [window()]))), "m").server()[0]
    server, load, memory = (panel.figures["open-200"]["data"][0]["y"] for panel in chart.panels)
    assert set(server) == {1.5} and set(load) == {0.5}
    assert memory == pytest.approx([float(n) for n in range(10)])
    assert chart.rows[0] == ("onnx on Triton, HTTP", "open-200", 0.5, 1.5, 0.5, 110.5, "")


def test_only_stages_that_were_sampled_are_in_the_servers_chart() -> None:
    closed = report_samples.stage("closed-4", 3.0)
    chart = Charts(shown(closed, stage(server_side(usual(), [window()]))), "m").server()[0]
    assert list(chart.panels[0].figures) == ["open-200"]
