"""More than one load process: the schedule is shared without gap or double, files travel, a lost one is said."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract.files import read_model
from contract.records import Observation, Plan, read_records
from contract.shapes import Steady
from loadtest.plan.arrivals import arrivals
from loadtest.plan.seeds import schedule_seed
from report.assemble import assemble
from report.figures.answers import judge
from report.figures.certificate import BY_HAND, NOT_CERTIFIED
from tests.builders import free_port, wait_until
from tests.conftest import ROOT
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e]

RATE = 80.0


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_latency(tmp_path_factory.mktemp("known"), 3.0) as known:
        yield known


def configure(known: Known, processes: int) -> None:
    known.configure(concurrency=[3], closed_s=0.5, open_s=1.5, rate=RATE)
    use(known, processes)


def use(known: Known, processes: int) -> None:
    toml = known.root / "models.toml"
    toml.write_text(toml.read_text().replace("[load]", f"[load]\nprocesses = {processes}"))


def observed(known: Known) -> tuple[Plan, Observation]:
    return known.plan(), read_model(known.newest() / f"server-stats-{VARIANT}.json", Observation, "make loadtest")


def check_that_all_was_measured(known: Known, processes: int) -> None:
    plan, seen = observed(known)
    assert seen.complete
    assert [(stage.workers, stage.lost) for stage in seen.stages] == [(processes, [])] * 2
    records = read_records(known.newest(), VARIANT).sort_by("intended_ns")
    assert len(records) == len(known.ask("seen")["times"])
    assert set(records.column("error").to_pylist()) == {""}
    assert set(records.column("worker").to_pylist()) == set(range(processes))
    stage = plan.variants[0].stages[1]
    assert isinstance(stage.shape, Steady)
    rows = records.to_pylist()
    intended = [row["intended_ns"] - seen.stages[1].window_start_ns for row in rows if row["stage"] == 1]
    # One schedule, shared: each arrival was sent by one of the load processes and by no other.
    assert intended == list(arrivals(stage.shape, stage.duration_s, stage.warmup_s, schedule_seed(plan, RATE, 1)))
    judged = judge(known.newest(), VARIANT, plan.variants[0].endpoint)
    assert all(item.checked > 0 and item.wrong == 0 for item in judged.values())


def test_processes_of_one_machine_share_one_schedule(known: Known) -> None:
    configure(known, processes=2)
    known.ask("seen")
    ended = subprocess.run(known.command(), cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    check_that_all_was_measured(known, processes=2)


def test_load_processes_that_join_from_elsewhere_get_everything_from_the_master(known: Known, tmp_path: Path) -> None:
    configure(known, processes=1)
    known.ask("seen")
    port = free_port()
    master = subprocess.Popen(
        [*known.command(), "--workers", "2", "--port", str(port)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    command = [sys.executable, "-m", "loadtest", "worker", "--master", "127.0.0.1", "--port", str(port), "--apart"]
    (lent := tmp_path / "lent").mkdir()  # where these machines keep what the master sends
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(lent)}
    others = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2)]
    try:
        assert wait_until(lambda: len(list(lent.glob("loadproof-*"))) == 2, 60)
        _, errors = master.communicate(timeout=90)
        assert master.returncode == 0, errors
        assert [other.wait(30) for other in others] == [0, 0]
    finally:
        everybody: list[subprocess.Popen[Any]] = [master, *others]
        for process in everybody:
            process.kill()
            process.wait()
    assert list(lent.glob("loadproof-*")) == []  # the requests may be somebody's own data
    check_that_all_was_measured(known, processes=2)
    # Apart by their files, but on this machine.
    assert [stage.elsewhere for stage in observed(known)[1].stages] == [0, 0]
    report = assemble(known.newest())
    assert any("share the" in warning for warning in report.warnings)
    assert report.generator == [NOT_CERTIFIED.format(why=BY_HAND)]
    opened = report.variants[0].stages[1]
    assert any(check.detail.endswith(f"not certified: {BY_HAND}") for check in opened.checks)


def test_a_load_process_that_is_killed_is_missed_in_its_stage_and_in_every_one_after_it(known: Known) -> None:
    known.configure(concurrency=[2, 4], closed_s=3.0, open_s=1.5, rate=RATE)
    use(known, processes=2)
    earlier = known.newest()
    known.ask("seen")
    process = known.start()
    try:
        assert wait_until(lambda: known.newest() != earlier, 30)
        assert wait_until(lambda: len(known.ask("seen")["times"]) > 0, 60)  # the first stage is on
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if not child.children() and "locust" in " ".join(child.cmdline())
        ]
        assert len(workers) == 2
        workers[0].send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    _, seen = observed(known)
    assert [stage.workers for stage in seen.stages] == [2, 1, 1]
    first, *later = [stage.lost for stage in seen.stages]
    assert len(first) == 1
    # Those that are left send what was meant for two: nothing of it may be taken for what two would have measured.
    assert later == [["1 of 2 load processes"]] * 2
    stages = assemble(known.newest()).variants[0].stages
    assert [stage.valid for stage in stages] == [False] * 3
    assert all(any("1 of 2 load processes of the load" in check.detail for check in one.checks) for one in stages[1:])
