"""Versions that come, fail, recover and go while others answer.

Mostly models are fakes and the clock is a number; the last tests watch a real server.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.tfserving import config, flags, loading, plan, rollover, server
from serving.tfserving.catalog import Catalog
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.polling import News, Poller
from serving.tfserving.rollover import LoadRetries
from serving.tfserving.states import State
from serving.tfserving.storage import ModelEntry, VersionPolicy

SECONDS = 10.0


class Disk:
    """A base path, a catalog over it, a clock that is set by hand, and the loads that were tried."""

    def __init__(self, base: Path, policy: VersionPolicy | None = None, **options: Any) -> None:
        self.base = base
        self.now = 0.0
        self.tried: list[str] = []
        self.entry = ModelEntry("m", base, policy or VersionPolicy())
        self.catalog = Catalog(self.load, LoadRetries(2, 60.0), clock=lambda: self.now, **options)

    def write(self, version: int, text: str = "good") -> None:
        (self.base / str(version)).mkdir(parents=True, exist_ok=True)
        (self.base / str(version) / "saved_model.pb").write_text(text)

    def load(self, path: Path) -> Any:
        self.tried.append(path.name)
        text = (path / "saved_model.pb").read_text()
        if not text.startswith("good"):
            raise StatusError(Code.DATA_LOSS, text)
        return text

    def states(self) -> dict[int, State]:
        return {status.version: status.state for status in self.catalog.status("m")}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Version 1 answers."""
    disk = Disk(tmp_path)
    disk.write(1)
    disk.catalog.apply([disk.entry])
    return disk


@pytest.mark.parametrize(
    ("aspired", "ready", "expected"),
    [
        ({2}, {1, 2}, [1]),
        ({2}, {1}, []),
        (set(), {1, 2}, [1, 2]),
        ({3, 4}, {1, 2}, [1]),
        ({3, 4}, {1, 2, 4}, [1, 2]),
        ({1}, {1}, []),
        ({1}, set(), []),
    ],
)
def test_the_last_version_that_answers_stays_until_an_aspired_one_is_ready(
    aspired: set[int], ready: set[int], expected: list[int]
) -> None:
    assert rollover.superfluous(aspired, ready) == expected


def test_a_new_version_takes_over_and_the_old_one_goes(disk: Disk) -> None:
    disk.write(2)
    disk.catalog.poll()
    assert disk.catalog.servable("m").version == 2
    assert disk.states() == {1: State.END, 2: State.AVAILABLE}


def test_the_old_version_answers_while_the_new_one_loads(disk: Disk) -> None:
    seen = []
    load = disk.load

    def watched(path: Path) -> Any:
        seen.append((disk.catalog.servable("m").version, disk.states()))
        return load(path)

    disk.catalog._load = watched
    disk.write(2)
    disk.catalog.poll()
    assert seen == [(1, {1: State.AVAILABLE, 2: State.LOADING})]


def test_a_version_that_fails_leaves_the_old_one_answering_and_shows_its_error(disk: Disk) -> None:
    disk.write(2, "truncated")
    applied = disk.catalog.poll()
    assert disk.catalog.servable("m").version == 1
    new, old = disk.catalog.status("m")
    assert old.state is State.AVAILABLE
    assert (new.state, new.code, new.message) == (State.END, Code.DATA_LOSS, "truncated")
    assert [failed.version for failed in applied.failed] == [2]


def test_a_failed_version_is_tried_again_when_it_is_due_and_not_for_ever(disk: Disk) -> None:
    disk.write(2, "spoilt")
    for now in (0, 1, 59, 60, 61, 120, 180, 240, 1000):
        disk.now = float(now)
        disk.catalog.poll()
    assert disk.tried == ["1", "2", "2", "2"]  # once, and twice again


def test_a_copy_that_is_still_growing_is_tried_once_it_stands_still(disk: Disk) -> None:
    disk.write(2, "half")
    disk.catalog.poll()
    for text in ("half and", "half and more"):
        disk.write(2, text)
        disk.catalog.poll()
    assert disk.tried == ["1", "2"]
    disk.write(2, "good and whole")
    disk.catalog.poll()
    disk.catalog.poll()
    assert disk.tried == ["1", "2", "2"]
    assert disk.catalog.servable("m").version == 2
    assert disk.states() == {1: State.END, 2: State.AVAILABLE}


def test_retries_do_not_need_polling_of_the_disk(disk: Disk) -> None:
    disk.write(2, "spoilt")
    disk.catalog.poll()
    disk.write(2, "good")
    disk.write(3, "good")
    disk.now = 60.0
    disk.catalog.retry()
    assert disk.catalog.servable("m").version == 2


def test_a_reload_tries_a_failed_version_at_once(disk: Disk) -> None:
    disk.write(2, "spoilt")
    disk.catalog.poll()
    assert [failed.version for failed in disk.catalog.apply([disk.entry]).failed] == [2]
    assert disk.tried == ["1", "2", "2"]


def test_a_version_that_vanishes_is_unloaded_and_the_next_lower_one_returns(disk: Disk) -> None:
    disk.write(2)
    disk.catalog.poll()
    (disk.base / "2" / "saved_model.pb").unlink()
    (disk.base / "2").rmdir()
    disk.catalog.poll()
    assert disk.catalog.servable("m").version == 1
    assert disk.states() == {1: State.AVAILABLE, 2: State.END}


def test_without_any_version_left_the_model_is_gone(disk: Disk) -> None:
    (disk.base / "1" / "saved_model.pb").unlink()
    (disk.base / "1").rmdir()
    disk.catalog.poll()
    with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)"):
        disk.catalog.servable("m")


def test_a_base_path_that_is_away_for_a_moment_unloads_nothing(disk: Disk) -> None:
    away = disk.base.rename(disk.base.with_name("away"))
    applied = disk.catalog.poll()
    assert "Could not find base path" in applied.notes[0]
    assert disk.catalog.servable("m").version == 1
    away.rename(disk.base)
    disk.catalog.poll()
    assert disk.tried == ["1"]


def test_a_base_path_that_appears_later_is_picked_up(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "later")
    disk.catalog.apply([disk.entry])
    disk.write(1)
    disk.catalog.poll()
    assert disk.catalog.servable("m").version == 1


def test_a_request_keeps_its_version_loaded_until_it_lets_go(disk: Disk) -> None:
    in_flight = disk.catalog.servable("m")
    disk.write(2)
    disk.catalog.poll()
    assert disk.states() == {1: State.UNLOADING, 2: State.AVAILABLE}
    assert str(in_flight.model) == "good"
    del in_flight
    assert disk.states() == {1: State.END, 2: State.AVAILABLE}


def test_a_version_that_returns_during_its_farewell_stays_available(disk: Disk) -> None:
    in_flight = disk.catalog.servable("m")
    disk.catalog.apply([])
    disk.catalog.apply([disk.entry])
    del in_flight
    assert disk.states() == {1: State.AVAILABLE}


def test_a_base_path_that_moves_to_a_bad_version_leaves_the_old_one(disk: Disk, tmp_path: Path) -> None:
    moved = ModelEntry("m", tmp_path / "moved")
    (tmp_path / "moved" / "1").mkdir(parents=True)
    (tmp_path / "moved" / "1" / "saved_model.pb").write_text("spoilt")
    assert disk.catalog.apply([moved]).failed
    assert disk.catalog.servable("m").path == disk.base / "1"
    assert disk.states() == {1: State.AVAILABLE}


def test_several_versions_load_side_by_side_when_there_are_load_threads(tmp_path: Path) -> None:
    disk = Disk(tmp_path, VersionPolicy("all"), load_threads=2)
    disk.write(1)
    disk.write(2)
    both = threading.Barrier(2, timeout=SECONDS)
    load = disk.load

    def together(path: Path) -> Any:
        both.wait()
        return load(path)

    disk.catalog._load = together
    assert not disk.catalog.apply([disk.entry]).failed
    assert disk.states() == {1: State.AVAILABLE, 2: State.AVAILABLE}


def test_a_load_that_breaks_in_an_unforeseen_way_is_a_failed_load(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    (tmp_path / "1").mkdir()  # the fake load raises FileNotFoundError
    (failed,) = disk.catalog.apply([disk.entry]).failed
    assert (failed.state, failed.code) == (State.END, Code.UNKNOWN)
    assert "FileNotFoundError" in failed.message


def test_a_stop_during_a_load_is_not_a_failed_load(disk: Disk) -> None:
    class Stopped(BaseException):
        pass

    def stopped(path: Path) -> Any:
        raise Stopped

    disk.catalog._load = stopped
    disk.write(2)
    with pytest.raises(Stopped):
        disk.catalog.poll()
    assert disk.catalog.servable("m").version == 1


def labelled(base: Path, version: int) -> ModelEntry:
    return ModelEntry("m", base, VersionPolicy("all"), (("stable", version),))


def test_a_label_in_use_moves_only_to_a_version_that_answers(disk: Disk) -> None:
    disk.catalog.apply([labelled(disk.base, 1)])
    assert disk.catalog.apply([labelled(disk.base, 2)]).unavailable_labels
    assert disk.catalog.servable("m", label="stable").version == 1
    disk.write(2)
    disk.catalog.poll()
    assert disk.catalog.servable("m", label="stable").version == 2


def test_a_label_that_moves_with_a_rollover_always_points_at_a_version_that_answers(disk: Disk) -> None:
    only = [ModelEntry("m", disk.base, VersionPolicy("specific", versions=(n,)), (("stable", n),)) for n in (1, 2)]
    disk.write(2)
    disk.catalog.apply(only[:1])
    labelled_versions = []
    publish = disk.catalog._publish

    def watched() -> None:
        publish()
        labelled_versions.append(disk.catalog.servable("m", label="stable").version)

    disk.catalog._publish = watched  # type: ignore[method-assign]
    disk.catalog.apply(only[1:])
    assert labelled_versions[-1] == 2
    assert disk.states() == {1: State.END, 2: State.AVAILABLE}


def test_a_new_label_may_wait_for_its_version_when_that_is_allowed(tmp_path: Path) -> None:
    disk = Disk(tmp_path, labels_in_advance=True)
    disk.write(1)
    assert not disk.catalog.apply([labelled(tmp_path, 2)]).unavailable_labels
    with pytest.raises(StatusError, match=r"Specific\(m, 2\)"):
        disk.catalog.servable("m", label="stable")
    assert disk.catalog.apply([labelled(tmp_path, 3)]).unavailable_labels  # it is in use: it does not move
    disk.write(2)
    disk.catalog.apply([labelled(tmp_path, 2)])
    assert disk.catalog.servable("m", label="stable").version == 2


# ---------------------------------------------------------------- the thread, and what is said


def test_a_poller_looks_again_after_a_look_that_failed() -> None:
    looks = threading.Semaphore(0)
    said: list[str] = []

    def look() -> None:
        looks.release()
        raise OSError("the disk is away")

    poller = Poller("disk", 0.001, look, said.append)
    poller.start()
    assert looks.acquire(timeout=SECONDS) and looks.acquire(timeout=SECONDS)
    poller.stop()
    assert "disk: OSError: the disk is away" in said


def test_news_are_said_when_they_begin_and_when_they_come_back() -> None:
    said: list[str] = []
    news = News(said.append)
    for texts in (["a"], ["a", "b"], ["b"], ["a"]):
        news.hear(texts)
    assert said == ["a", "b", "a"]


def test_a_label_that_stays_refused_is_said_once_where_loads_are_only_retried(disk: Disk) -> None:
    said: list[str] = []
    disk.write(2, "spoilt")
    disk.catalog.apply([labelled(disk.base, 2)])
    settings = flags.parse([f"--model_base_path={disk.base}", "--file_system_poll_wait_seconds=0"])
    (poller,) = server._pollers(settings, disk.catalog, LoadRetries(2, 60.0), News(said.append), said.append)
    for _ in range(3):
        poller._look()
    (sentence,) = said
    assert sentence.startswith("Request to assign label to version 2 of model m")


def test_an_empty_config_file_is_not_a_config_without_models(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    path.write_text("")
    assert config.reread_models(path) is None
    path.write_text("model_config_list {}")
    assert config.reread_models(path) == ()


# ---------------------------------------------------------------- a real server, real SavedModels


class Plus(tf.Module):
    """y = x + n, where n is the version."""

    def __init__(self, n: float) -> None:
        super().__init__()
        self.n = tf.Variable(n)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def plus(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + self.n}


def save(path: Path, n: int) -> None:
    module = Plus(float(n))
    tf.saved_model.save(module, str(path), signatures=module.plus)


class Client:
    """A running server, and what its models answer."""

    def __init__(self, running: server.Server, port: int, said: list[str]) -> None:
        self.running = running
        self.said = said
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def answer(self, model: str = "m") -> float:
        """What the model adds; an RpcError if it does not answer."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([0.0]))
        return float(self.prediction.Predict(request, timeout=SECONDS).outputs["y"].float_val[0])

    def states(self) -> dict[int, int]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        answer = self.models.GetModelStatus(request, timeout=SECONDS)
        return {status.version: status.state for status in answer.model_version_status}

    def until(self, true: Callable[[], bool]) -> None:
        """Ask all the time until something is true; each answer must be one."""
        deadline = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < deadline, self.said
            self.answer()


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    said: list[str] = []
    started = server.start(plan.read_plan(flags.parse([f"--port={port}", *arguments])), said.append)
    client = Client(started, port, said)
    try:
        yield client
    finally:
        client.channel.close()
        started.stop()


@pytest.mark.e2e
@pytest.mark.parametrize("extra", [(), ("--enable_batching",)])
def test_every_request_is_answered_while_versions_come_fail_recover_and_go(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    base = tmp_path / "m"
    for n in (2, 3):
        save(tmp_path / "staged" / str(n), n)
    save(base / "1", 1)
    with running("--model_name=m", f"--model_base_path={base}", *extra) as client:
        assert client.answer() == 1.0
        (tmp_path / "staged" / "2").rename(base / "2")
        client.until(lambda: client.answer() == 2.0)
        client.until(lambda: client.states() == {1: State.END, 2: State.AVAILABLE})
        shutil.copytree(tmp_path / "staged" / "3", base / "3")
        weights = base / "3" / "variables" / "variables.data-00000-of-00001"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:3])
        # truncated, unless it was caught before: then it answers, and is not read again
        client.until(lambda: client.states().get(3) in (State.END, State.AVAILABLE))
        weights.write_bytes(whole)
        client.until(lambda: client.answer() == 3.0)
        client.until(lambda: client.states() == {1: State.END, 2: State.END, 3: State.AVAILABLE})


@pytest.mark.e2e
def test_a_real_model_is_freed_when_it_is_unloaded(tmp_path: Path) -> None:
    save(tmp_path / "m" / "1", 1)
    load = loading.Loader(plan.read_plan(flags.parse([f"--model_base_path={tmp_path / 'm'}"])), print)
    catalog = Catalog(load)
    catalog.apply([ModelEntry("m", tmp_path / "m")])
    session = weakref.ref(catalog.servable("m").model._session)  # type: ignore[attr-defined]
    catalog.apply([])
    assert session() is None


@pytest.mark.e2e
def test_a_model_config_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    for n, name in enumerate(("a", "b"), start=1):
        save(tmp_path / name / "1", n)

    def write(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(tmp_path / "models.config")

    def one_model(name: str) -> str:
        return (
            f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path / name}" '
            'model_platform: "tensorflow" } }'
        )

    write(one_model("a"))
    flag = f"--model_config_file={tmp_path / 'models.config'}"
    with running(flag, "--model_config_file_poll_wait_seconds=1") as client:
        assert client.answer() == 1.0
        write("model_config_list { config {")
        client.until(lambda: any("Failed to read ModelServerConfig" in text for text in client.said))
        write(one_model("b"))
        client.until(lambda: client.answer() == 2.0)


@pytest.mark.e2e
def test_the_health_service_is_there_when_asked_for(tmp_path: Path) -> None:
    base = ("--model_name=m", f"--model_base_path={tmp_path}")
    with running(*base, "--enable_grpc_healthcheck_service") as client:
        assert client.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=SECONDS) == b"\x08\x01"
        stream = client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=SECONDS)
        assert next(stream) == b"\x08\x01"
        client.running.stop()
        assert list(stream) == [b"\x08\x02"]  # told, and not cut off when the grace is over
    with running(*base) as client, pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
