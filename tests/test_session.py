"""A session: one Locust that measures what it is asked for, against a null server that holds its answers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from contract.config import read_config
from contract.endpoints import Endpoints
from contract.errors import LoadproofError, ServerError, UsageError
from contract.files import read_model, write_json
from contract.records import Observation, Plan, Stage, StageObservation, read_records
from contract.slo import Slo
from loadtest.launching import PROGRESS
from loadtest.master.asking import ASKED, TOLD
from loadtest.plan.preparing import prepare
from loadtest.plan.seeds import schedule_seed
from loadtest.session import Measured, Session
from tests.builders import closed_stage, free_port, open_stage, wait_until, workspace
from tests.null_latency import Nulled, null_latency

pytestmark = [pytest.mark.e2e]

DELAY_MS = 10.0
LIMIT_MS = 50.0  # p99 of the endpoint's SLO


@dataclass(frozen=True)
class Run:
    """A prepared run, and what it left."""

    nulled: Nulled
    plan: Plan
    results: Path

    @property
    def variant(self) -> str:
        return self.nulled.endpoint.id

    def session(self) -> Session:
        return Session(self.plan, self.results, self.nulled.root / "live")

    def observed(self, variant: str = "") -> Observation:
        file = self.results / f"server-stats-{variant or self.variant}.json"
        return read_model(file, Observation, "make loadtest")

    def written(self) -> Plan:
        return read_model(self.results / "plan.json", Plan, "make loadtest")

    def in_window(self, seen: StageObservation, variant: str = "", moment: str = "intended_ns") -> pa.Table:
        """The records of the requests that were due in a stage's window, as far as who sent them took part in it.

        With the ``moment`` `done_ns` those that were over in it, which may have been due in the warm-up.
        """
        table = read_records(self.results, variant or self.variant)
        table = table.filter((pc.field("stage") == seen.stage) & (pc.field(moment) >= seen.window_start_ns))
        ends = [seen.worker_ends_ns.get(worker, seen.window_end_ns) for worker in table["worker"].to_pylist()]
        return table.filter(pc.less(table[moment], pa.array(ends, pa.int64())))


@pytest.fixture(scope="module")
def nulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nulled]:
    with null_latency(tmp_path_factory.mktemp("null"), "http", "--delay-ms", str(DELAY_MS)) as running:
        running.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=100.0)
        yield running


Prepare = Callable[..., Run]


@pytest.fixture
def prepared(nulled: Nulled) -> Prepare:
    """Prepare a run: how many load processes, what else the plan says."""

    def prepare_run(processes: int = 1, **changes: Any) -> Run:
        config, place = read_config(nulled.root / "models.toml"), workspace(nulled.root)
        load = config.load.model_copy(update={"processes": processes})
        endpoints = read_model(place.endpoints, Endpoints, "make serve")
        config = config.model_copy(update={"load": load})
        plan, results = prepare(config, place, endpoints, list(endpoints.endpoints))
        return Run(nulled, plan.model_copy(update=changes), results)

    return prepare_run


def probe(rate: float, window_s: float = 0.6, in_flight: int = 64) -> Stage:
    changes = {"purpose": "probe", "judged": False, "in_flight": in_flight}
    return open_stage(rate, window_s, warmup_s=0.2).model_copy(update=changes)


def check_counts(
    run: Run, measured: Measured, seen: StageObservation, variant: str = "", limit_ms: float = LIMIT_MS
) -> None:
    """What was told is what the records say."""
    rows = run.in_window(seen, variant)
    latency = rows["done_ns"].to_numpy() - rows["intended_ns"].to_numpy()
    failed = rows["error"].combine_chunks().cast(pa.string()).to_numpy(zero_copy_only=False) != ""
    assert measured.due == len(rows)
    assert measured.failed == failed.sum()
    assert measured.over == {"p99": (failed | (latency > limit_ms * 1e6)).sum()}
    assert measured.window_s == pytest.approx((seen.window_end_ns - seen.window_start_ns) / 1e9)
    assert measured.answered_rps == pytest.approx(measured.good / measured.window_s)
    answered = run.in_window(seen, variant, "done_ns").filter(pc.field("error") == "")
    assert measured.good == len(answered) > 0


@pytest.mark.parametrize("processes", [1, 2])
def test_stages_are_measured_one_at_a_time_and_told_as_they_are_recorded(prepared: Prepare, processes: int) -> None:
    run = prepared(processes)
    wanted = [closed_stage(8, 0.5, 0.1), closed_stage(3, 0.5, 0.1), probe(100.0), probe(100.0)]
    with run.session() as session:
        told = []
        for stage in wanted:
            told.append(session.measure(run.variant, stage))
            assert run.observed().complete  # everything that was asked for so far
        assert run.written() == session.plan
    stages = run.observed().stages
    assert [item.stage for item in told] == [seen.stage for seen in stages] == [0, 1, 2, 3]
    assert [stage.name for stage in run.written().variants[0].stages] == [
        "closed-8",
        "closed-3",
        "open-100",
        "open-100-2",
    ]
    for measured, seen in zip(told, stages, strict=True):
        assert (seen.workers, seen.lost, measured.cut, measured.failed) == (processes, [], "", 0)
        check_counts(run, measured, seen)
    # The server answers after 10 ms: every user has a hundred answers per second, less what the way costs.
    assert 400 < told[0].answered_rps < 800
    assert 150 < told[1].answered_rps < 300
    assert not any((run.results / name).exists() for name in (ASKED, TOLD, PROGRESS))


def test_two_probes_at_one_rate_draw_differently_and_two_variants_alike(prepared: Prepare) -> None:
    run = prepared()
    with run.session() as session:
        session.add(session.plan.variants[0].model_copy(update={"id": "trial"}))
        for variant in (run.variant, "trial"):
            for _ in range(2):
                session.measure(variant, probe(100.0, 0.4))
    assert run.observed("trial").complete
    offsets = {}
    for variant in (run.variant, "trial"):
        for seen in run.observed(variant).stages:
            rows = run.in_window(seen, variant).sort_by("intended_ns")
            sent = zip(rows["intended_ns"].to_pylist(), rows["payload"].to_pylist(), strict=True)
            offsets[variant, seen.stage] = [(moment - seen.window_start_ns, key) for moment, key in sent]
    assert all(len(drawn) > 10 for drawn in offsets.values())
    assert offsets[run.variant, 0] == offsets["trial", 0]
    assert offsets[run.variant, 1] == offsets["trial", 1]
    assert offsets[run.variant, 0] != offsets[run.variant, 1]
    plan = run.written()
    assert len({schedule_seed(plan, 100.0, 1, draw) for draw in range(20)}) == 20


@pytest.mark.parametrize("processes", [1, 2])
def test_a_rate_that_the_server_cannot_do_is_cut_as_hopeless_long_before_its_window_ends(
    prepared: Prepare, processes: int
) -> None:
    run = prepared(processes)
    with run.session() as session:
        session.measure(run.variant, probe(50.0, 0.3))
        began = time.monotonic()
        # Four in flight, 10 ms each: 400 answers per second at most.
        told = session.measure(run.variant, probe(800.0, 20.0, in_flight=4), early=True)
        took_s = time.monotonic() - began
        after = session.measure(run.variant, probe(100.0, 0.3))
    assert told.cut == "hopeless"
    assert told.window_s < 3.0
    assert took_s < 8.0  # what was due until then has been waited for
    seen = run.observed().stages[1]
    check_counts(run, told, seen)
    assert told.over["p99"] > 0.01 * 800 * 20
    records = read_records(run.results, run.variant)
    assert max(records.filter(pc.field("stage") == 1)["intended_ns"].to_pylist()) < seen.window_end_ns
    assert (after.stage, after.failed, after.cut) == (2, 0, "")


def test_a_rate_that_the_server_does_with_ease_is_cut_as_clear_after_half_of_its_window(prepared: Prepare) -> None:
    run = prepared()
    patient = run.nulled.endpoint.model_copy(update={"slo": Slo(p99_ms=2_000.0)})  # a busy machine keeps it too
    with run.session() as session:
        session.add(session.plan.variants[0].model_copy(update={"id": "patient", "endpoint": patient}))
        told = session.measure("patient", probe(400.0, 4.0), early=True)
        whole = session.measure("patient", probe(400.0, 1.0), early=False)
    assert (told.cut, whole.cut) == ("clear", "")
    assert 2.0 <= told.window_s < 4.0
    assert whole.window_s == 1.0
    check_counts(run, told, run.observed("patient").stages[0], "patient", limit_ms=2_000.0)


def test_between_two_steps_little_time_is_lost(prepared: Prepare) -> None:
    run = prepared()
    with run.session() as session:
        session.measure(run.variant, closed_stage(4, 0.2, 0.1))
        for _ in range(6):
            session.measure(run.variant, probe(100.0, 0.3))
    stages = run.observed().stages
    # From a window's end (its drain takes the server's 10 ms) to the next warm-up of 0.2 s.
    dead_s = sorted((b.window_start_ns - a.window_end_ns) / 1e9 - 0.2 for a, b in pairwise(stages))
    assert dead_s[len(dead_s) // 2] < 0.3


def measure_two(run: Run, second_s: float, between: Callable[[], object]) -> None:
    """A session of two stages, with something that happens while the second one is on."""
    with run.session() as session:
        session.measure(run.variant, probe(100.0))
        between()
        session.measure(run.variant, probe(100.0, second_s))


def locusts() -> list[psutil.Process]:
    """Every Locust below this process that runs, its master first."""
    found = psutil.Process().children(recursive=True)
    found = [child for child in found if child.status() != psutil.STATUS_ZOMBIE and "locust" in child.cmdline()]
    return sorted(found, key=lambda child: child.create_time())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_locust_that_is_killed_ends_the_session_with_a_sentence_and_keeps_what_was_measured(
    prepared: Prepare, processes: int
) -> None:
    run = prepared(processes)

    def kill() -> None:
        wait_until(lambda: '"stage": 1' in (run.results / PROGRESS).read_text())
        locusts()[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with pytest.raises(LoadproofError, match=r"Locust ended with code -9; what was measured until then is kept"):
        measure_two(run, second_s=30.0, between=killer.start)
    killer.join()
    assert locusts() == []  # its load processes do not go on without it
    assert len(run.written().variants[0].stages) == 2
    assert [seen.stage for seen in run.observed().stages] == [0]
    assert not run.observed().complete
    assert run.in_window(run.observed().stages[0]).num_rows > 30
    assert (run.results / ASKED).is_file()  # tells what was asked for last


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_leaves_a_readable_folder_and_no_process(prepared: Prepare, processes: int) -> None:
    run = prepared(processes)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            measure_two(run, second_s=60.0, between=lambda: signal.setitimer(signal.ITIMER_REAL, 1.5))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert locusts() == []
    whole = [seen.stage for seen in run.observed().stages if not seen.interrupted]
    assert whole == [0] and not run.observed().complete
    assert set(read_records(run.results, run.variant)["stage"].to_pylist()) == {0, 1}
    assert list(run.results.glob("*.tmp")) == []


def test_a_server_that_cannot_be_made_ready_comes_back_as_an_error_and_the_session_goes_on(
    nulled: Nulled, prepared: Prepare
) -> None:
    file = nulled.root / "live" / "endpoints.json"
    found = read_model(file, Endpoints, "make serve")
    gone = found.endpoints[0].model_copy(update={"model": "gone", "address": f"127.0.0.1:{free_port()}"})
    # Triton holds one model at a time, and the one that is measured cannot be loaded: nobody listens at its address.
    both = found.model_copy(update={"endpoints": [*found.endpoints, gone], "one_at_a_time": True})
    run = prepared(one_at_a_time=True)
    write_json(file, both)
    try:
        with run.session() as session:
            session.add(session.plan.variants[0].model_copy(update={"id": "gone", "endpoint": gone}))
            for _ in range(2):
                with pytest.raises(ServerError, match=r"gone cannot be measured: .* did not answer"):
                    session.measure("gone", probe(100.0, 0.3))
            assert session.plan.variants[1].stages == []
    finally:
        write_json(file, found)
    assert run.written().variants[1].stages == []
    assert not (run.results / "server-stats-gone.json").exists()


def test_what_may_not_be_measured_is_refused_before_anything_is_sent(prepared: Prepare) -> None:
    run = prepared(max_rps=50.0)
    with run.session() as session:
        with pytest.raises(UsageError, match="the ceiling is 50"):
            session.measure(run.variant, probe(100.0))
        with pytest.raises(UsageError, match="no variant 'wrds__onnx__triton__http'; did you mean"):
            session.measure("wrds__onnx__triton__http", probe(10.0))
        with pytest.raises(UsageError, match="1000 requests in flight, a session 899 at most"):
            session.measure(run.variant, probe(10.0, in_flight=1_000))
        with pytest.raises(UsageError, match="has a variant 'words__onnx__triton__http' already"):
            session.add(session.plan.variants[0])
        assert session.plan.variants[0].stages == []
        session.measure(run.variant, probe(20.0, 0.3))
    with pytest.raises(UsageError, match="a session needs a folder of its own"):
        run.session().__enter__()
