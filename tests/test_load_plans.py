"""Whole load plans through the load command, against a server with a known delay: every shape, `soak`, `overload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.files import read_model
from contract.records import Plan, Stage
from contract.shapes import OVERLOAD, SOAK, Closed, LoadPlan, Steady, Trace
from loadtest.plan.arrivals import arrivals
from loadtest.plan.seeds import schedule_seed
from report.assemble import assemble
from report.figures import summary
from tests.null_latency import Nulled, null_latency

pytestmark = [pytest.mark.e2e]

DELAY_MS = 20.0
SOAK_S = 12.0
EARLIEST_MS = 19.0  # a timer may be a fraction of a millisecond early
LINES = [(0.0, "r0003"), (0.25, "r0001"), (0.25, "r0002"), (1.5, "r0003"), (1.75, "")]  # recorded: seconds, request
SHAPES: list[dict[str, Any]] = [
    {"shape": "ramp", "rate": 20, "to": 100},
    {"shape": "step", "rates": [30, 90]},
    {"shape": "spike", "rate": 30, "peak": 150, "begin_s": 0.5, "length_s": 0.25},
    {"shape": "sine", "rate": 60, "amplitude": 50, "period_s": 1.0, "arrivals": "constant"},
    {"shape": "trace", "file": "monday.csv", "speed": 2.0},
]


def shortened(plan: LoadPlan, **changes: float) -> list[dict[str, Any]]:
    """The stages of a plan as models.toml has them, with other seconds or users."""
    stages = [stage.model_dump(mode="json", exclude_defaults=True) for stage in plan.stages]
    return [stage | {name: value for name, value in changes.items() if name in stage} for stage in stages]


def run_plan(nulled: Nulled, name: str, stages: list[dict[str, Any]], rate: float = 50.0) -> Plan:
    """Write a plan of that name into models.toml and carry it out."""
    nulled.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=rate)
    toml = nulled.root / "models.toml"
    tables = [
        "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in stage.items()) + " }" for stage in stages
    ]
    toml.write_text(f"plans = {{ {name} = {{ stages = [{', '.join(tables)}] }} }}\n{toml.read_text()}")
    ended = nulled.run("--uncertified", "--plan", name, timeout=180)
    assert ended.returncode == 0, ended.stderr
    return read_model(nulled.results / "plan.json", Plan, "make loadtest")


def intended(nulled: Nulled, index: int) -> list[int]:
    """When a stage's requests were due, nanoseconds since its window's start."""
    rows = nulled.records().sort_by("intended_ns").to_pylist()
    start = nulled.observed()[index].window_start_ns
    return [row["intended_ns"] - start for row in rows if row["stage"] == index]


def due(plan: Plan, stage: Stage, rate: float) -> list[int]:
    """When they had to be, by the pure schedule."""
    assert stage.shape is not None and not isinstance(stage.shape, Closed | Trace)
    return list(arrivals(stage.shape, stage.duration_s, stage.warmup_s, schedule_seed(plan, rate, 1)))


def test_a_plan_of_every_open_shape_sends_each_request_when_its_shape_wants_it(tmp_path: Path) -> None:
    (tmp_path / "monday.csv").write_text("".join(f"{100 + at},{key}\n" for at, key in LINES))
    timed = [{"duration_s": 1.5, "warmup_s": 0.2} if shape["shape"] != "trace" else {} for shape in SHAPES]
    with null_latency(tmp_path, "http", "--delay-ms", str(DELAY_MS)) as nulled:
        plan = run_plan(nulled, "shapes", [shape | times for shape, times in zip(SHAPES, timed, strict=True)])
    stages = plan.variants[0].stages
    assert [stage.name for stage in stages] == [
        "ramp-20-100",
        "step-30-90",
        "spike-30-150",
        "sine-60-50",
        "trace-monday",
    ]
    for index, stage in enumerate(stages[:-1]):
        assert intended(nulled, index) == due(plan, stage, stage.rate or 0.0), stage.name
    # The trace: its own moments at twice the speed, and the requests that it names.
    assert intended(nulled, 4) == [int(at / 2 * 1e9) for at, _ in LINES]
    rows = [row for row in nulled.records().sort_by("intended_ns").to_pylist() if row["stage"] == 4]
    sent = [row["payload"] for row in rows]
    assert (sent[0], set(sent[1:3]), sent[3]) == ("r0003", {"r0001", "r0002"}, "r0003")
    records, seen = nulled.records(), nulled.server.seen()
    assert len(records) == len(seen) and set(records.column("error").to_pylist()) == {""}
    took = (records.column("done_ns").to_numpy() - records.column("intended_ns").to_numpy()) / 1e6
    assert took.min() >= EARLIEST_MS


def test_the_plan_overload_goes_to_half_and_to_150_percent_of_what_the_closed_loop_was_answered(tmp_path: Path) -> None:
    shorter = shortened(OVERLOAD, duration_s=2.0)
    shorter[0]["users"], shorter[1]["users"] = 1, 3
    with null_latency(tmp_path, "http", "--delay-ms", str(DELAY_MS)) as nulled:
        plan = run_plan(nulled, "overload", shorter)
    seen, records = nulled.observed(), nulled.records()
    assert [item.stage for item in seen] == [0, 1, 2, 3, 4]
    done, stage_of = records.column("done_ns").to_numpy(), records.column("stage").to_numpy()
    answered = [
        float(np.sum((stage_of == index) & (done >= item.window_start_ns) & (done < item.window_end_ns))) / 2.0
        for index, item in enumerate(seen[:2])
    ]
    best = seen[3].rate / 1.5 if seen[3].rate else 0.0
    assert best == pytest.approx(max(answered), rel=0.05)
    assert best <= 3 * 1000 / EARLIEST_MS  # three users that each wait for the delay
    assert [item.rate for item in seen[2:]] == pytest.approx([0.5 * best, 1.5 * best, 0.5 * best])
    for index in (2, 3, 4):
        stage = plan.variants[0].stages[index]
        rate = seen[index].rate or 0.0
        asked = stage.model_copy(update={"shape": Steady(shape="steady", rate=rate)})
        assert intended(nulled, index) == due(plan, asked, rate), stage.name
    found = assemble(nulled.results).variants[0].overload
    assert found is not None
    assert (found.offered_rps, found.maximum_rps) == pytest.approx((1.5 * best, best), rel=0.01)
    # A server that only waits has no maximum: beyond what its three users were answered it answers as well.
    assert found.goodput_rps > found.maximum_rps
    assert found.refused == 0


@pytest.mark.slow
def test_the_plan_soak_tells_the_p99_of_each_part_of_a_long_stage_and_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seconds instead of half an hour, which for once are taken for long enough."""
    with null_latency(tmp_path, "http", "--delay-ms", str(DELAY_MS)) as nulled:
        plan = run_plan(nulled, "soak", shortened(SOAK, duration_s=SOAK_S, warmup_s=0.5), rate=200.0)
    (stage,) = plan.variants[0].stages
    assert (stage.name, stage.duration_s, plan.attempts) == ("open-200", SOAK_S, 1)
    assert intended(nulled, 0) == due(plan, stage, 200.0)
    assert assemble(nulled.results).variants[0].stages[0].endurance is None, "of less than a minute nothing is said"
    monkeypatch.setattr(summary, "SHORTEST_S", SOAK_S)
    (told,) = assemble(nulled.results).variants[0].stages
    assert told.endurance is not None and len(told.endurance.slices) >= 3
    assert sum(part.requests for part in told.endurance.slices) == told.requests
    assert all(part.failed == 0 and (part.p99_ms or 0.0) >= EARLIEST_MS for part in told.endurance.slices)
    assert told.endurance.p99_change is not None
    assert set(told.endurance.absent) == {"memory_slope"}  # the null server is nobody's server record
