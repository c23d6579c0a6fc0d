"""Trials on a real Triton: each is loaded, proven and measured, and whatever happens the server is as it was.

The tests of this file go through one life of one server, in their order.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.config import read_config
from contract.endpoints import Endpoint
from contract.files import read_model
from contract.scaling import Scaling
from contract.trials import Climb, Trials
from serving.rolling.reconfiguring import reconfigurable
from tests.conftest import ROOT
from tests.on_terminal import on_terminal
from tests.stage import TORCH_ON_TRITON, Stage, served_on
from tune.configuration.command import INVALID
from tune.stepwise import HERE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HEAD = """
schema_version = 1
"""
PADDING = "padding = { length = 0 }\n"
MODELS = f"{HEAD}{TORCH_ON_TRITON}{PADDING}"
VARIANT = "torch__onnx__triton__http"
SERVED = "torch__onnx"
QUICK = ("--objective", "latency", "--at-rate", "300", "--trials", "3")
DEADLINE_S = 120


class Tried(Stage):
    """What must be the same after every trial, and what the trials found."""

    def as_it_is(self) -> tuple[str, str, str, dict[str, Any]]:
        """The person's file, the description of what runs, config.pbtxt, and what Triton itself holds."""
        folder = self.workspace.triton_repository / SERVED
        with urllib.request.urlopen(f"http://{self.endpoint().address}/v2/models/{SERVED}/config") as answer:
            held = json.load(answer)
        files = (self.root / "models.toml", self.workspace.endpoints, folder / "config.pbtxt")
        first, second, third = (file.read_text() for file in files)
        return first, second, third, held

    def endpoint(self) -> Endpoint:
        return next(item for item in self.endpoints() if item.id == VARIANT)

    def climb(self) -> Climb:
        """Of the newest run."""
        trials = read_model(self.workspace.results / "latest" / "trials.json", Trials, "configure")
        return trials.climbs[0]

    def deaths(self) -> list[str]:
        return [event.detail for event in self.events() if event.what == "died"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Tried]:
    with served_on(Tried(tmp_path_factory.mktemp("trials")), copy_zoo, MODELS) as found:
        yield found


def test_a_search_tries_proves_and_measures_and_leaves_the_server_as_it_was(stage: Tried) -> None:
    before = stage.as_it_is()
    done = stage.run("tune", "configure", VARIANT, *QUICK)
    assert done.returncode == 0, done.stderr
    assert HERE not in done.stderr and "start   as it was: " in done.stderr
    assert stage.as_it_is() == before
    climb = stage.climb()
    assert [trial.purpose for trial in climb.trials[:2]] == ["start", "again"] and climb.ended
    results = stage.workspace.results / "latest"
    plan = json.loads((results / "plan.json").read_text())
    assert [item["id"] for item in plan["variants"]] == [trial.variant for trial in climb.trials]
    for item, trial in zip(plan["variants"], climb.trials, strict=True):
        assert item["endpoint"]["configuration"]["instances"] == trial.configuration["instances"]
        assert item["endpoint"]["parity_endpoint"]["passed"] and item["endpoint"]["parity_engine"]["passed"]
        assert list(results.glob(f"requests-{trial.variant}-*.parquet"))
    tuned = stage.root / "tuned.toml"
    assert tuned.exists() is (climb.best is not None)
    if climb.best is not None:
        batching = read_config(stage.root / "models.toml", tuned).models["torch"].batching
        read, found = batching.model_dump(mode="json"), climb.model_dump(mode="json")["best"]
        assert {name: read[name] for name in found} == found


def test_a_reload_is_nobodys_death_and_what_runs_is_what_was_asked_for(stage: Tried) -> None:
    time.sleep(3)  # the supervisor looks once a second
    assert stage.deaths() == []
    assert "already run" in stage.run("serving", "up").stderr


def test_on_a_terminal_it_shows_what_is_tried_the_best_so_far_and_what_is_left(stage: Tried) -> None:
    command = [sys.executable, "-m", "tune", "configure", VARIANT, "--objective", "latency", "--trials", "2"]
    code, shown = on_terminal([*command, *stage.flags])
    assert code in (0, INVALID), shown[-3000:]  # a machine that was too busy to measure is shown all the same
    for words in (HERE, "best so far", "at most", "again as it was", "p99.9 ms", "s left"):
        assert words in shown, shown[-3000:]


def test_ctrl_c_keeps_the_trials_and_brings_the_configuration_back(stage: Tried) -> None:
    before = stage.as_it_is()
    latest = (stage.workspace.results / "latest").resolve()
    command = [sys.executable, "-m", "tune", "configure", VARIANT, *QUICK, *stage.flags]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (stage.workspace.results / "latest").resolve() != latest and trials_of(stage) >= 1)
        wait_until(lambda: "under trial" in stage.workspace.endpoints.read_text())
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert stage.as_it_is() == before
    climb = stage.climb()
    assert climb.trials and climb.ended == "" and climb.best is None
    folder = str((stage.workspace.results / "latest").resolve())
    assert f"is kept in {folder}; " in words
    (resuming,) = [line for line in words.splitlines() if line.startswith("go on with: ")]
    assert resuming.startswith("go on with: python -m tune configure ") and resuming.endswith(f"--resume {folder}")

    done = stage.run("tune", "configure", "--resume", folder, "--trials", "2")
    assert done.returncode == 0, done.stderr
    resumed = stage.climb()
    assert resumed.ended and resumed.trials[: len(climb.trials)] == climb.trials
    assert [trial.purpose for trial in resumed.trials].count("start") == 1
    assert stage.as_it_is() == before


def test_whatever_is_raised_among_trials_the_configuration_comes_back(stage: Tried) -> None:
    before = stage.as_it_is()
    config = read_config(stage.root / "models.toml")

    def fail_in_the_midst() -> None:
        lengths = [24, 48]  # shorter, between and beyond the lengths of the golden batch: 8 to 64
        with reconfigurable(config, stage.endpoint(), stage.workspace) as model:
            update = {"instances": 2, "ragged": True, "length_buckets": lengths}
            proven = model.apply(model.batching.model_copy(update=update))
            assert {item.configuration.instances for item in proven} == {2}
            assert all(item.configuration.ragged and item.configuration.length_buckets == lengths for item in proven)
            assert stage.as_it_is() != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_midst()
    assert stage.as_it_is() == before


def test_scaling_measures_each_number_and_says_why_it_predicts_nothing(stage: Tried) -> None:
    before = stage.as_it_is()
    command = [sys.executable, "-m", "tune", "scale", VARIANT, "--instances", "1..2", "--users", "4", *stage.flags]
    code, shown = on_terminal(command)
    assert code == 0, shown[-3000:]
    for words in (HERE, "is measured", "waits", "p99.9 ms", "s left", "instances 2: "):
        assert words in shown, shown[-3000:]
    found = read_model(stage.workspace.results / "latest" / "scaling.json", Scaling, "scale")
    assert [point.n for point in found.points] == [1, 2] and found.complete
    assert all(point.closed_rps > 0 and point.p99_ms for point in found.points)
    assert found.prediction is None and "a fit needs" in found.reason
    assert stage.as_it_is() == before


def test_after_a_kill_the_next_make_serve_starts_anew(stage: Tried) -> None:
    before = stage.as_it_is()
    command = [sys.executable, "-m", "tune", "configure", VARIANT, *QUICK, *stage.flags]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(lambda: "under trial" in stage.workspace.endpoints.read_text())
        process.kill()
    done = stage.run("serving", "up")
    assert done.returncode == 0 and "already run" not in done.stderr
    models, _, text, _ = stage.as_it_is()
    assert (models, text) == (before[0], before[2])
    assert stage.endpoint().configuration.instances == 1


def trials_of(stage: Tried) -> int:
    file = stage.workspace.results / "latest" / "trials.json"
    return len(stage.climb().trials) if file.is_file() else 0


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)
