"""What dies is noticed, told with its last lines, brought back a few times, and then left down aloud."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from contract.endpoints import Endpoint, ServerRecord, Servers
from contract.errors import ServerError
from contract.events import read_events
from contract.files import read_model, write_json
from contract.workspace import Workspace
from serving.places import process as place_process
from serving.places.launch import Launch
from serving.places.starting import launch_file, remember
from serving.watch import lacking, supervision
from serving.watch.supervision import Supervisor
from tests.builders import endpoint, endpoints, parity, server, workspace

NEW = 4711  # the pid of whoever is started in place of one that died
Processes = dict[int, tuple[str, int]]


class World:
    """Servers that live and die as the test says; plays the place, Triton's control and its processes."""

    def __init__(self, place: Workspace, monkeypatch: pytest.MonkeyPatch, record: ServerRecord) -> None:
        self.workspace = place
        self.living = True
        self.starts: list[Launch] = []
        self.stopped: list[int | None] = []  # pids
        self.unstoppable: str | None = None
        self.silent_engine: str | None = None  # Docker's, which says of none whether it runs
        self.refusal: str | None = None
        self.refusals = 99
        self.loaded: set[str] = set()
        self.instances_of: dict[str, int] = {}  # where it is not one
        self.answering = True  # its front end
        self.hanging = False
        self.forgotten = 0  # how often its silence was
        self.asked: list[str] = []
        self.calls: list[str] = []
        self.right = True
        self.processes: Processes = {}
        self.said: list[str] = []
        write_json(place.servers, Servers(schema_version=1, servers=[record]))
        write_json(
            launch_file(place, record.engine),
            Launch(
                engine=record.engine,
                engine_kind="real",
                command=["server"],
                image=None,
                environment={"A": "b"},
                ports=record.ports,
                ready="/",
                ready_port="http",
                log=place.live / "log",
            ),
        )
        monkeypatch.setattr(supervision, "place_of", lambda _: self)
        monkeypatch.setattr(supervision, "start_once", self.start_once)
        for module in (supervision, lacking):
            monkeypatch.setattr(module, "model_processes", lambda _: dict(self.processes))
        monkeypatch.setattr(supervision, "recheck", self.recheck)
        monkeypatch.setattr(supervision, "Silence", lambda: self)

    def alive(self, _: ServerRecord) -> bool:
        if self.silent_engine:
            raise ServerError(self.silent_engine)
        return self.living

    def stop(self, server: ServerRecord) -> None:
        self.stopped.append(server.pid)
        if self.unstoppable:
            raise ServerError(self.unstoppable)

    def too_long(self, _: ServerRecord) -> bool:
        return self.hanging

    def forget(self, _: ServerRecord) -> None:
        self.forgotten += 1

    def last_lines(self, _: ServerRecord) -> str:
        return "  | its last words"

    def start_once(self, launch: Launch, place: str, workspace: Workspace) -> tuple[ServerRecord, float]:
        self.starts.append(launch)
        if self.refusal and len(self.starts) <= self.refusals:
            raise ServerError(self.refusal)
        self.living, self.hanging = True, False
        record = server(engine=launch.engine, place=place, pid=NEW)
        remember(record, workspace)
        return record, 0.1

    def recheck(self, item: Endpoint, workspace: Workspace) -> Any:
        self.asked.append(item.id)
        return parity(self.right)

    def load(self, name: str) -> float:
        self.calls.append(f"load {name}")
        self.loaded.add(name)
        return 0.5

    def unload(self, name: str) -> None:
        self.calls.append(f"unload {name}")
        self.loaded.discard(name)

    def ready(self, name: str, version: int | None = None) -> bool:
        return name in self.loaded

    def live(self) -> bool:
        return self.answering

    def instances(self, name: str) -> int:
        return self.instances_of.get(name, 1)

    def supervisor(self, most: int = 3) -> Supervisor:
        return Supervisor(self.workspace, most, self.said.append, lambda _: self)

    @property
    def happened(self) -> list[str]:
        return [event.what for event in read_events(self.workspace.events)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    place = workspace(tmp_path)
    write_json(place.endpoints, endpoints(endpoint(), endpoint(protocol="grpc", address="127.0.0.1:8001")))
    world = World(place, monkeypatch, server())
    world.loaded = {"words__onnx"}
    world.processes = {10: ("words__onnx", 1)}
    return world


def tfserving_too(world: World, **changes: Any) -> ServerRecord:
    """A TF Serving before the Triton that there is."""
    other = server(engine="tfserving", engine_kind="embedded", shm_prefix=None, pid=4712, **changes)
    known = read_model(world.workspace.servers, Servers, "make serve").servers
    write_json(world.workspace.servers, Servers(schema_version=1, servers=[other, *known]))
    launch = read_model(launch_file(world.workspace, "triton"), Launch, "make serve")
    write_json(launch_file(world.workspace, "tfserving"), launch.model_copy(update={"engine": "tfserving"}))
    return other


def test_servers_that_live_are_left_alone(world: World) -> None:
    watcher = world.supervisor()
    assert all(watcher.look() for _ in range(3))
    assert (world.happened, world.calls, world.starts) == ([], [], [])


def test_a_server_that_died_is_told_started_as_it_was_and_asked_again(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.living = False
    assert watcher.look()
    died, restarted = read_events(world.workspace.events)
    assert (died.what, died.engine, died.last_lines) == ("died", "triton", "  | its last words")
    assert restarted.what == "restarted"
    assert "restart 1 of 3" in restarted.detail
    assert [launch.environment for launch in world.starts] == [{"A": "b"}]
    assert world.stopped == [None]  # what the dead one left behind
    assert world.calls == ["load words__onnx"]
    assert world.asked == ["words__onnx__triton__http", "words__onnx__triton__grpc"]
    assert any("its last words" in text for text in world.said)


def test_of_two_that_died_together_both_are_told_before_the_first_is_brought_back(world: World) -> None:
    tfserving_too(world)
    watcher = world.supervisor()
    world.living = False
    assert watcher.look()
    assert [event.what for event in read_events(world.workspace.events)] == ["died", "died", "restarted", "restarted"]


def test_what_tf_serving_had_is_waited_for_before_it_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ports are open when one version of a model is loaded, which need not be the one that was proven."""
    record = server(engine="tfserving", engine_kind="embedded", shm_prefix=None, pid=4712)
    world = World(world.workspace, monkeypatch, record)
    write_json(world.workspace.endpoints, endpoints(endpoint(engine="tfserving", protocol="rest", version=2)))
    waited: list[tuple[set[tuple[str, int]], int]] = []

    class State:
        def __init__(self, server: ServerRecord, load_s: float) -> None:
            """No server."""

        def wait_for(self, versions: set[tuple[str, int]]) -> None:
            waited.append((versions, len(world.asked)))

    monkeypatch.setattr(supervision, "TfServingState", State)
    watcher = world.supervisor()
    watcher.look()
    world.living = False
    watcher.look()
    assert waited == [({("words__onnx", 2)}, 0)]
    assert len(world.asked) == 1


def test_only_what_was_resident_is_loaded_again(world: World) -> None:
    world.processes = {}
    watcher = world.supervisor()
    world.loaded = set()
    watcher.look()
    world.living = False
    watcher.look()
    assert world.calls == []


def test_a_server_that_held_no_model_is_brought_back_without_one(world: World) -> None:
    write_json(world.workspace.endpoints, endpoints(one_at_a_time=True))  # and nobody measures
    world.processes, world.loaded = {}, set()
    watcher = world.supervisor()
    watcher.look()
    world.living = False
    assert watcher.look()
    assert (world.calls, world.asked, world.happened) == ([], [], ["died", "restarted"])
    assert "without models as before" in read_events(world.workspace.events)[-1].detail


def test_a_server_that_ended_gently_is_given_back_what_it_held(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.answering, world.processes = False, {}  # its front end first, then its models
    watcher.look()
    world.living = False
    watcher.look()
    assert world.calls == ["load words__onnx"]


def test_a_candidate_of_a_roll_is_not_loaded_again(world: World) -> None:
    world.processes[11] = ("words__onnx__candidate", 2)
    watcher = world.supervisor()
    watcher.look()
    world.living = False
    watcher.look()
    assert world.calls == ["load words__onnx"]


def test_a_server_is_restarted_a_few_times_and_then_stays_down_aloud(world: World) -> None:
    watcher = world.supervisor(most=2)
    for _ in range(3):
        world.living = False
        still = watcher.look()
    assert world.happened == ["died", "restarted", "died", "restarted", "died", "gave up"]
    assert len(world.starts) == 2
    assert not still  # nothing is left to watch
    world.living = False
    watcher.look()
    assert len(world.happened) == 6


def test_a_server_that_does_not_start_again_is_given_up_with_the_reason(world: World) -> None:
    world.living, world.refusal = False, "no space left on device"
    assert not world.supervisor().look()
    assert "no space left on device" in read_events(world.workspace.events)[-1].detail
    assert world.happened == ["died", "gave up"]


def test_a_port_that_somebody_took_meanwhile_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PORT_WAIT_S", 0.0)
    world.living, world.refusal, world.refusals = False, "Socket '127.0.0.1:8001' already in use", 2
    assert world.supervisor().look()
    assert world.happened == ["died", "restarted"]
    assert len(world.starts) == 3


def test_the_log_of_a_crash_is_kept_however_often_a_port_is_taken_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins(launch: Launch, *others: Any) -> tuple[ServerRecord, float]:
        with pytest.raises(ServerError, match="no-such-program"):  # it has a log of its own all the same
            place_process.start(launch.model_copy(update={"command": ["no-such-program"]}))
        return world.start_once(launch, *others)

    monkeypatch.setattr(supervision, "PORT_WAIT_S", 0.0)
    monkeypatch.setattr(supervision, "start_once", begins)
    log = world.workspace.live / "log"
    log.write_text("the crash")
    world.living, world.refusal, world.refusals = False, "Socket '127.0.0.1:8001' already in use", 2
    assert world.supervisor().look()
    assert len(world.starts) == 3
    assert (log.read_text(), log.with_name("log.previous").read_text()) == ("", "the crash")


def test_what_cannot_be_written_now_is_told_when_there_is_room_again(world: World) -> None:
    watcher = world.supervisor()
    world.workspace.events.mkdir(parents=True)  # as good as a full disk: no line can be added
    world.living = False
    assert watcher.look()
    assert world.living, "a server is brought back all the same"
    assert any("cannot be written now" in said for said in world.said)
    world.workspace.events.rmdir()
    assert watcher.look()
    assert world.happened == ["died", "restarted"]


def test_whoever_watches_stays_until_everything_is_told(world: World) -> None:
    watcher = world.supervisor(most=0)
    world.workspace.events.mkdir(parents=True)
    world.living = False
    assert watcher.look()
    world.workspace.events.rmdir()
    assert not watcher.look()
    assert world.happened == ["died", "gave up"]


def test_nothing_is_started_that_could_not_be_written_down_and_it_costs_no_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    watcher = world.supervisor(most=1)
    world.living = False
    with monkeypatch.context() as disk:
        disk.setattr(supervision, "remember", full)
        assert watcher.look() and watcher.look()
    assert (world.starts, world.happened) == ([], ["died"])
    assert watcher.look()
    assert world.happened == ["died", "restarted"]


def test_a_server_that_answers_wrongly_after_a_restart_is_stopped(world: World) -> None:
    world.living, world.right = False, False
    world.supervisor().look()
    assert world.happened == ["died", "gave up"]
    assert "answers wrongly" in read_events(world.workspace.events)[-1].detail
    assert world.stopped == [None, NEW], "what was started in its place must not go on answering"


def test_that_a_server_stays_down_is_told_although_it_cannot_be_stopped(world: World) -> None:
    world.living, world.unstoppable = False, "Docker did not remove container abc"
    watcher = world.supervisor()
    with pytest.raises(ServerError, match="did not remove container abc"):
        watcher.look()
    assert world.happened == ["died", "gave up"]
    assert not watcher.look()
    assert world.happened == ["died", "gave up"]


def test_a_model_whose_process_died_is_unloaded_and_loaded_since_triton_calls_it_ready(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.processes = {}
    watcher.look()
    assert world.calls == ["unload words__onnx", "load words__onnx"]
    assert world.happened == ["died", "reloaded"]
    assert "words__onnx version 1" in read_events(world.workspace.events)[0].detail


def test_a_process_that_died_before_the_first_look_is_noticed_too(world: World) -> None:
    world.processes = {}
    world.supervisor().look()
    assert world.happened == ["died", "reloaded"]


def test_a_process_that_went_because_its_model_was_unloaded_is_no_death(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.processes, world.loaded = {}, set()
    watcher.look()
    assert (world.happened, world.calls) == ([], [])


def test_a_process_that_was_replaced_by_a_reload_is_no_death(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.processes = {11: ("words__onnx", 1)}
    watcher.look()
    assert (world.happened, world.calls) == ([], [])


def test_a_process_that_outlived_the_load_of_the_next_is_no_death(world: World) -> None:
    world.processes = {10: ("words__onnx", 1), 11: ("words__onnx", 1)}
    watcher = world.supervisor()
    watcher.look()
    del world.processes[10]
    watcher.look()
    assert (world.happened, world.calls) == ([], [])


def test_a_model_that_is_unloaded_while_it_is_looked_at_is_no_death(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.processes = {}
    answers = iter([True, False])  # ready, and a moment later no more
    monkeypatch.setattr(world, "ready", lambda name, version: next(answers))
    watcher.look()
    assert (world.happened, world.calls) == ([], [])


def test_one_of_two_processes_of_a_model_is_missed(world: World) -> None:
    world.processes = {10: ("words__onnx", 1), 11: ("words__onnx", 1)}
    world.instances_of = {"words__onnx": 2}
    watcher = world.supervisor()
    watcher.look()
    del world.processes[11]
    watcher.look()
    assert world.happened == ["died", "reloaded"]


def test_a_reload_that_fitted_into_one_held_up_question_is_no_death(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = world.supervisor()
    watcher.look()
    world.processes = {}  # as a question saw it that began before a reload and ended after it
    monkeypatch.setattr(
        "serving.watch.lacking.time.sleep", lambda seconds: world.processes.update({12: ("words__onnx", 1)})
    )
    watcher.look()
    assert (world.happened, world.calls) == ([], [])


def test_a_model_that_keeps_dying_is_unloaded_for_good(world: World) -> None:
    watcher = world.supervisor(most=1)
    for pid in (20, 30, 40):
        world.processes = {pid: ("words__onnx", 1)}
        watcher.look()
        world.processes = {}
        watcher.look()
    assert world.happened[:2] == ["died", "reloaded"]
    assert world.happened.count("gave up") == 1
    assert world.calls[-1] == "unload words__onnx"


def test_models_of_a_container_whose_processes_cannot_be_seen_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(tmp_path)
    write_json(place.endpoints, endpoints(endpoint()))
    world = World(place, monkeypatch, server(place="docker", pid=None, container="c"))
    world.loaded = {"words__onnx"}
    assert world.supervisor().look()
    assert (world.happened, world.calls) == ([], [])


def contained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_at_a_time: bool = False) -> World:
    """A Triton in a container, whose processes cannot be seen."""
    place = workspace(tmp_path)
    write_json(place.endpoints, endpoints(endpoint(), one_at_a_time=one_at_a_time))
    return World(place, monkeypatch, server(place="docker", container="c"))


def test_a_container_is_given_its_models_back_each_time_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = contained(tmp_path, monkeypatch)
    watcher = world.supervisor()
    for _ in range(2):
        world.living = False
        assert watcher.look()
    assert world.calls == ["load words__onnx"] * 2
    assert world.happened == ["died", "restarted"] * 2


def test_a_container_whose_models_take_turns_is_brought_back_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = contained(tmp_path, monkeypatch, one_at_a_time=True)
    world.living = False
    assert world.supervisor().look()
    assert (world.calls, world.asked, world.happened) == ([], [], ["died", "restarted"])


def test_an_engine_that_does_not_say_whether_a_container_runs_is_no_death_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = contained(tmp_path, monkeypatch)
    watcher = world.supervisor()
    silent = world.silent_engine = "Docker does not say whether triton runs"
    world.hanging = True  # nor is it asked itself: it could not be started again
    assert watcher.look() and watcher.look()
    assert world.said == [silent], "once"
    world.silent_engine, world.hanging = None, False
    assert watcher.look()
    assert (world.happened, world.stopped) == ([], [])
    world.silent_engine = silent
    assert watcher.look()
    assert world.said == [silent] * 2, "once each time"
    world.silent_engine, world.living = None, False
    assert watcher.look()
    assert world.happened == ["died", "restarted"]


def test_an_engine_that_says_nothing_of_a_container_keeps_no_other_server_from_being_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = contained(tmp_path, monkeypatch)
    gone = tfserving_too(world, place="process")

    def alive(server: ServerRecord) -> bool:
        if server.place == "docker":
            raise ServerError("Docker does not say whether triton runs")
        return server.pid != gone.pid

    monkeypatch.setattr(world, "alive", alive)
    assert world.supervisor().look()
    assert [(event.what, event.engine) for event in read_events(world.workspace.events)] == [
        ("died", "tfserving"),
        ("restarted", "tfserving"),
    ]


def test_a_server_that_hangs_in_its_container_is_told_ended_and_started_again(world: World) -> None:
    world.hanging = True
    assert world.supervisor().look()
    assert world.happened == ["died", "restarted"]
    assert "triton stopped answering" in read_events(world.workspace.events)[0].detail
    assert (world.stopped, len(world.starts)) == ([None], 1)


def test_a_server_that_hangs_again_and_again_is_given_up(world: World) -> None:
    watcher = world.supervisor(most=1)
    for _ in range(2):
        world.hanging = True
        still = watcher.look()
    assert not still
    assert world.happened == ["died", "restarted", "died", "gave up"]
    last = read_events(world.workspace.events)[-1].detail
    assert last == "triton stays down: it died or stopped answering 2 times"


def test_the_silence_of_a_server_that_died_is_not_counted_of_the_one_in_its_place(world: World) -> None:
    watcher = world.supervisor()
    watcher.look()
    assert world.forgotten == 0
    world.living = False
    watcher.look()
    assert (world.forgotten, world.happened) == (1, ["died", "restarted"])


def test_a_server_of_somebody_else_is_never_restarted_and_may_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(workspace(tmp_path), monkeypatch, server(place="url", host="gpu1"))
    watcher = world.supervisor()
    world.living = False
    assert watcher.look()
    watcher.look()
    world.living = True
    watcher.look()
    assert world.happened == ["died", "restarted"]
    assert (world.starts, world.stopped) == ([], [])


@pytest.mark.parametrize(
    ("loaded", "one_at_a_time", "told"),
    [
        ({"words__onnx"}, False, "triton answers again"),
        (set(), False, f"triton answers again, without words__onnx: {supervision.BRING_BACK}"),
        (set(), True, "triton answers again"),  # as it was left
    ],
    ids=["with all", "with none", "their turns"],
)
def test_a_triton_at_an_address_that_comes_back_without_its_models_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: set[str], one_at_a_time: bool, told: str
) -> None:
    place = workspace(tmp_path)
    write_json(place.endpoints, endpoints(endpoint(), one_at_a_time=one_at_a_time))
    world = World(place, monkeypatch, server(place="url", host="gpu1"))
    watcher = world.supervisor()
    world.living = False
    watcher.look()
    world.living, world.loaded = True, loaded
    watcher.look()
    assert read_events(place.events)[-1].detail == told
