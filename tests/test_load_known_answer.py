"""The load command against a server whose latency and answers are known: the records say what really happened."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contract.files import read_model, sha256_tree
from contract.records import Observation, Plan, StageObservation, read_records
from contract.shapes import Steady
from loadtest.plan.arrivals import arrivals
from loadtest.plan.seeds import schedule_seed
from report.figures.answers import judge
from tests.builders import wait_until
from tests.conftest import ROOT
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

DELAY_MS = 5.0
RATE = 100.0
STALL_MS = 400
LONG_STALL_MS = 4500  # longer than the grace that a stopping load process gives its users


@dataclass(frozen=True)
class Ran:
    """One run: where its files are, what the server measured by itself."""

    known: Known
    folder: Path
    plan: Plan
    records: pa.Table
    observation: Observation
    seen: dict[str, Any]

    def stage(self, index: int) -> tuple[StageObservation, dict[str, np.ndarray[Any, Any]]]:
        """A stage's observation, and its records by column in the order of their intention (warm-up included)."""
        table = self.records.filter(pa.compute.equal(self.records.column("stage"), index)).sort_by("intended_ns")
        columns = {name: table.column(name).to_numpy() for name in ("intended_ns", "sent_ns", "done_ns", "status")}
        return self.observation.stages[index], columns


def run_with_stall(known: Known, stall_ms: int, in_ms: int, limit_s: float) -> Ran:
    """Run the load command; the stall begins ``in_ms`` after the closed-loop stages, inside the open one."""
    known.ask("seen")  # forget what came before
    earlier = {path.resolve() for path in (known.root / "results").glob("*")}
    process = known.start()
    try:
        assert wait_until(lambda: _fresh(known, earlier))
        closed = len(known.plan().variants[0].stages) - 1
        stats = known.newest() / f"server-stats-{VARIANT}.json"
        assert wait_until(lambda: _finished(stats) == closed, limit_s)
        known.ask(f"stall/{stall_ms}/{in_ms}")
        _, errors = process.communicate(timeout=limit_s)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    folder = known.newest()
    return Ran(
        known,
        folder,
        known.plan(),
        read_records(folder, VARIANT),
        read_model(folder / f"server-stats-{VARIANT}.json", Observation, "make loadtest"),
        known.ask("seen"),
    )


def schedule(ran: Ran, index: int) -> list[int]:
    """What an open-loop stage had to intend: offsets since its window's start, those of the warm-up negative."""
    stage = ran.plan.variants[0].stages[index]
    assert isinstance(stage.shape, Steady) and stage.rate is not None
    return list(arrivals(stage.shape, stage.duration_s, stage.warmup_s, schedule_seed(ran.plan, stage.rate, 1)))


def _fresh(known: Known, earlier: set[Path]) -> bool:
    return (known.root / "results" / "latest").is_symlink() and known.newest() not in earlier


def _finished(stats: Path) -> int:
    return len(read_model(stats, Observation, "make loadtest").stages) if stats.is_file() else 0


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_latency(tmp_path_factory.mktemp("known"), DELAY_MS) as known:
        yield known


@pytest.fixture(scope="module")
def ran(known: Known) -> Ran:
    known.configure(concurrency=[1, 4], closed_s=1.0, open_s=2.5, rate=RATE)
    return run_with_stall(known, STALL_MS, in_ms=2000, limit_s=30)


def test_every_stage_of_the_plan_was_measured(ran: Ran) -> None:
    assert [stage.name for stage in ran.plan.variants[0].stages] == ["closed-1", "closed-4", "open-100"]
    assert [seen.stage for seen in ran.observation.stages] == [0, 1, 2]
    assert ran.observation.complete
    for seen, stage in zip(ran.observation.stages, ran.plan.variants[0].stages, strict=True):
        assert seen.window_end_ns - seen.window_start_ns == int(stage.duration_s * 1e9)
        assert seen.server is None  # this server counts nothing


@pytest.mark.parametrize("stage", [0, 1])
def test_the_median_service_time_is_the_servers_own_delay(ran: Ran, stage: int) -> None:
    seen, columns = ran.stage(stage)
    arrived = np.array([a for a, _ in ran.seen["times"]])
    spent = np.array([d - a for a, d in ran.seen["times"]])
    inside = (arrived >= seen.window_start_ns) & (arrived < seen.window_end_ns)
    own_ms = float(np.median(spent[inside])) / 1e6
    counted = (columns["intended_ns"] >= seen.window_start_ns) & (columns["intended_ns"] < seen.window_end_ns)
    service_ms = float(np.median((columns["done_ns"] - columns["sent_ns"])[counted])) / 1e6
    assert own_ms >= DELAY_MS
    assert own_ms <= service_ms <= own_ms + 2.0


def test_every_request_was_answered_once_and_recorded_once(ran: Ran) -> None:
    assert len(ran.records) == len(ran.seen["times"])
    assert set(ran.records.column("error").to_pylist()) == {""}
    assert set(ran.records.column("status").to_pylist()) == {200}


@pytest.mark.parametrize(("stage", "users"), [(0, 1), (1, 4)])
def test_a_closed_loop_keeps_exactly_its_users_in_flight(ran: Ran, stage: int, users: int) -> None:
    seen, columns = ran.stage(stage)
    begins, ends = columns["sent_ns"], columns["done_ns"]
    in_flight = np.array([int(((begins <= at) & (ends > at)).sum()) for at in begins])
    assert in_flight.max() == users
    counted = (begins >= seen.window_start_ns) & (begins < seen.window_end_ns)
    assert np.median(in_flight[counted]) == users


def test_a_closed_loop_sends_as_soon_as_it_has_an_answer(ran: Ran) -> None:
    _, columns = ran.stage(0)
    idle_ms = (columns["sent_ns"][1:] - columns["done_ns"][:-1]) / 1e6
    assert np.median(idle_ms) < 1.0


def test_an_open_loop_intends_exactly_the_seeded_schedule(ran: Ran) -> None:
    seen, columns = ran.stage(2)
    assert list(columns["intended_ns"] - seen.window_start_ns) == schedule(ran, 2)


def test_an_open_loop_sends_on_schedule_while_the_server_stalls(ran: Ran) -> None:
    _, columns = ran.stage(2)
    begin, end = ran.seen["stall"]
    during = (columns["intended_ns"] >= begin) & (columns["intended_ns"] < end)
    assert during.sum() > 0.5 * RATE * STALL_MS / 1000
    late_ms = (columns["sent_ns"] - columns["intended_ns"])[during] / 1e6
    assert np.median(late_ms) < 3.0
    assert np.mean(late_ms < 100.0) > 0.6  # the others, where the machine itself stood still for a moment


def test_a_stall_shows_in_the_latency_of_every_arrival_in_it(ran: Ran) -> None:
    seen, columns = ran.stage(2)
    begin, end = ran.seen["stall"]
    assert seen.window_start_ns < begin < end < seen.window_end_ns
    # An answer is held when it would have been ready during the stall.
    inside = (columns["sent_ns"] > begin) & (columns["sent_ns"] < end - 8_000_000)
    latency_ms = (columns["done_ns"] - columns["intended_ns"])[inside] / 1e6
    left_ms = (end - columns["intended_ns"][inside]) / 1e6
    assert 0.5 * RATE * STALL_MS / 1000 < inside.sum() < 1.6 * RATE * STALL_MS / 1000
    assert (latency_ms >= left_ms).all()
    assert np.median(latency_ms - left_ms) < 20.0
    assert latency_ms.max() > 0.85 * STALL_MS
    assert latency_ms.min() < 0.3 * STALL_MS


def test_sampled_answers_are_the_golden_ones(ran: Ran) -> None:
    judged = judge(ran.folder, VARIANT, ran.plan.variants[0].endpoint)
    assert {stage: (item.wrong, item.checked > 0) for stage, item in judged.items()} == {
        0: (0, True),
        1: (0, True),
        2: (0, True),
    }
    assert all(item.checked <= ran.plan.answers for item in judged.values())


def test_a_second_run_loses_nothing_in_a_long_stall_and_leaves_the_first_alone(known: Known, ran: Ran) -> None:
    before = sha256_tree(ran.folder)
    known.configure(concurrency=[1], closed_s=0.3, open_s=1.5, rate=40.0)
    again = run_with_stall(known, LONG_STALL_MS, in_ms=1700, limit_s=40)
    assert again.folder != ran.folder
    assert sha256_tree(ran.folder) == before
    seen, columns = again.stage(1)
    begin, end = again.seen["stall"]
    assert seen.window_start_ns < begin < seen.window_end_ns < end
    assert list(columns["intended_ns"] - seen.window_start_ns) == schedule(again, 1)


def test_a_stage_sends_the_same_requests_whatever_was_measured_before_it(known: Known) -> None:
    known.configure(concurrency=[2], closed_s=0.3, open_s=0.5, rate=RATE)
    stage = f'{{ shape = "steady", rate = {RATE}, duration_s = 0.5, warmup_s = 0.2 }}'
    between = '{ shape = "closed", users = 3, duration_s = 0.3 }'
    toml = known.root / "models.toml"
    toml.write_text(f"plans = {{ twice = {{ stages = [{stage}, {between}, {stage}] }} }}\n{toml.read_text()}")
    ended = subprocess.run(
        [*known.command(), "--plan", "twice"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rows = read_records(known.newest(), VARIANT).sort_by("intended_ns").to_pylist()
    first, again = ([row["payload"] for row in rows if row["stage"] == index] for index in (0, 2))
    assert len(first) > 20
    assert first == again
