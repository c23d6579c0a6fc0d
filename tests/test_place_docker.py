"""Servers as containers, with a fake engine at the border: what is asked of Docker, and what its refusals become."""

from __future__ import annotations

import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import docker.errors
import pytest
from requests.exceptions import ReadTimeout

from contract.errors import ServerError
from serving.engines import tensorflow_serving
from serving.places import docker as place_docker
from serving.places import starting
from serving.places.launch import Launch
from serving.places.starting import MOST_STARTS, start
from tests.builders import server, workspace

IMAGE = tensorflow_serving.IMAGE


class FakeContainer:
    """One container as the SDK shows it."""

    id = "c0ffee" * 10
    short_id = "c0ffeec0ff"

    def __init__(self, status: str = "running", log: bytes = b"") -> None:
        self.status, self.log = status, log
        self.refusal: Exception | None = None  # of the engine, to start it
        self.stopped: list[dict[str, Any]] = []
        self.removed: list[dict[str, Any]] = []

    def start(self) -> None:
        if self.refusal:
            raise self.refusal

    def stop(self, **options: Any) -> None:
        self.stopped.append(options)

    def remove(self, **options: Any) -> None:
        self.removed.append(options)

    def logs(self, tail: int) -> bytes:
        return b"".join(self.log.splitlines(keepends=True)[-tail:])


class FakeDocker:
    """An engine that has one image and keeps what it was asked to create."""

    def __init__(self, container: FakeContainer | None = None, error: Exception | None = None) -> None:
        self.container, self.error = container, error
        self.runs: list[tuple[str, dict[str, Any]]] = []
        self.containers, self.images = self, self

    def create(self, image: str, **options: Any) -> FakeContainer:
        self.runs.append((image, options))
        if self.error:
            raise self.error
        return self.container or FakeContainer()

    def get(self, name: str) -> Any:
        if self.error:
            raise self.error
        if name == IMAGE:
            return type("Image", (), {"tags": [IMAGE], "short_id": "sha256:1234"})
        if self.container is None or name != self.container.id:
            raise docker.errors.NotFound(f"No such container: {name}")
        return self.container


def use(monkeypatch: pytest.MonkeyPatch, engine: FakeDocker) -> FakeDocker:
    monkeypatch.setattr(place_docker, "_client", lambda: engine)
    return engine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    return use(monkeypatch, FakeDocker(FakeContainer(log=b"first\nloading\nready\n")))


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """The real Launch of TF Serving's image for a CPU, with a repository that everybody may read."""
    monkeypatch.setattr(tensorflow_serving, "device", lambda: "cpu")
    place = workspace(tmp_path)
    above = place.tfserving_repository.parent
    above.mkdir()
    above.chmod(0o755)
    return tensorflow_serving.launch(place, "docker", threads=3, batching=True)


def options_of(engine: FakeDocker, launch: Launch) -> dict[str, Any]:
    place_docker.start(launch)
    assert len(engine.runs) == 1
    image, options = engine.runs[0]
    assert image == IMAGE
    return options


def test_ports_are_published_on_loopback_only(engine: FakeDocker, launch: Launch) -> None:
    ports = options_of(engine, launch)["ports"]
    assert ports == {"8500/tcp": ("127.0.0.1", launch.ports["grpc"]), "8501/tcp": ("127.0.0.1", launch.ports["rest"])}


def test_the_server_listens_inside_where_its_ports_are_published(engine: FakeDocker, launch: Launch) -> None:
    command = options_of(engine, launch)["command"]
    assert "--port=8500" in command
    assert "--rest_api_port=8501" in command


def test_the_container_runs_as_a_user_without_rights(engine: FakeDocker, launch: Launch) -> None:
    options = options_of(engine, launch)
    assert options["user"].split(":")[0] not in ("", "0", "root")
    assert options["user"].split(":")[1] != "0"
    assert options["cap_drop"] == ["ALL"]
    assert "no-new-privileges" in options["security_opt"]
    assert not options.get("privileged")
    assert options.get("network_mode") != "host"


def test_the_root_file_system_is_read_only_and_what_is_written_goes_to_memory(
    engine: FakeDocker, launch: Launch
) -> None:
    options = options_of(engine, launch)
    assert options["read_only"] is True
    assert set(options["tmpfs"]) == {"/tmp"}
    assert options["environment"]["HOME"] == "/tmp"


def test_signals_reach_a_server_that_has_no_handler_for_them(engine: FakeDocker, launch: Launch) -> None:
    assert options_of(engine, launch)["init"] is True


def test_only_tritons_image_keeps_its_entrypoint_which_finds_the_drivers_libraries(
    engine: FakeDocker, launch: Launch
) -> None:
    place_docker.start(launch)
    place_docker.start(launch.model_copy(update={"engine": "triton", "command": ["tritonserver", "--help"]}))
    (_, of_tfserving), (_, of_triton) = engine.runs
    assert of_tfserving["entrypoint"] == ["tensorflow_model_server"]
    assert (of_triton.get("entrypoint"), of_triton["command"]) == (None, ["tritonserver", "--help"])


def test_the_container_runs_as_the_owner_of_the_repository_who_may_read_it(tmp_path: Path) -> None:
    owner = tmp_path.stat()
    expected = "65534:65534" if owner.st_uid == 0 else f"{owner.st_uid}:{owner.st_gid}"
    tmp_path.chmod(0o755)
    assert place_docker.user_of([tmp_path]) == expected
    assert place_docker.user_of([]) == "65534:65534"


@pytest.mark.skipif(os.getuid() != 0, reason="only what root owns is read by nobody else")
@pytest.mark.parametrize("closed", [".", "triton"], ids=["the mount", "a tree in it"])
def test_a_repository_that_root_alone_may_read_is_refused_with_what_to_do(tmp_path: Path, closed: str) -> None:
    for folder in (tmp_path, tmp_path / "triton"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    (tmp_path / closed).chmod(0o700)
    told = rf"{tmp_path / closed} belongs to root.*chmod -R o\+rX {tmp_path}', and 'umask 022' before the next start"
    with pytest.raises(ServerError, match=told):
        place_docker.user_of([tmp_path])


def test_the_repository_is_mounted_read_only_at_its_own_path(
    engine: FakeDocker, launch: Launch, tmp_path: Path
) -> None:
    tree = workspace(tmp_path).tfserving_repository
    above = str(tree.parent)  # the tree is swapped by a rename, which a mount of it would not see
    assert options_of(engine, launch)["volumes"] == {above: {"bind": above, "mode": "ro"}}
    assert f"--model_config_file={tree}/models.config" in options_of_command(engine)


def options_of_command(engine: FakeDocker) -> list[str]:
    command: list[str] = engine.runs[0][1]["command"]
    return command


def test_the_container_is_started_in_the_background_and_remembered_by_its_id(
    engine: FakeDocker, launch: Launch
) -> None:
    record = place_docker.start(launch)
    assert engine.runs[0][1]["detach"] is True
    assert (record.place, record.pid, record.container) == ("docker", None, FakeContainer.id)
    assert record.ports == launch.ports
    assert record.log == f"docker logs {FakeContainer.short_id}"
    assert record.image == f"{IMAGE} (sha256:1234)"


def test_stopping_asks_the_server_to_end_and_then_removes_the_container(engine: FakeDocker, launch: Launch) -> None:
    record = place_docker.start(launch)
    place_docker.stop(record)
    assert engine.container is not None
    assert engine.container.stopped == [{"timeout": place_docker.GRACE_S["tfserving"]}]
    assert engine.container.removed == [{"force": True}]


def test_stopping_a_container_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeDocker())
    place_docker.stop(server(place="docker", container="gone"))


@pytest.mark.parametrize(("status", "expected"), [("running", True), ("exited", False), ("created", False)])
def test_a_container_is_alive_while_it_runs(monkeypatch: pytest.MonkeyPatch, status: str, expected: bool) -> None:
    use(monkeypatch, FakeDocker(FakeContainer(status)))
    assert place_docker.alive(server(place="docker", container=FakeContainer.id)) is expected


def test_a_container_that_is_gone_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeDocker())
    assert not place_docker.alive(server(place="docker", container="gone"))


# How an engine does not answer: it is not there, or it hangs after it was reached.
SILENT = [
    docker.errors.DockerException("Error while fetching server API version"),
    ReadTimeout("Read timed out. (read timeout=60)"),
]


@pytest.mark.parametrize("error", SILENT, ids=["no engine", "it hangs"])
def test_an_engine_that_does_not_answer_leaves_open_whether_a_container_runs(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """With live-restore it runs on."""
    use(monkeypatch, FakeDocker(error=error))
    with pytest.raises(ServerError, match=r"does not say whether triton runs: .+; 'docker info' tells") as caught:
        place_docker.alive(server(place="docker", container="abc"))
    assert str(error) in str(caught.value)


def test_the_last_lines_are_those_of_the_containers_log(engine: FakeDocker) -> None:
    text = place_docker.last_lines(server(place="docker", container=FakeContainer.id))
    assert text == "  | first\n  | loading\n  | ready"


def test_the_images_own_tag_is_its_version(engine: FakeDocker) -> None:
    assert place_docker.image_label(IMAGE) == IMAGE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, True),
        (docker.errors.ImageNotFound("no such image"), False),
        *((error, False) for error in SILENT),
    ],
)
def test_an_image_is_there_only_if_an_engine_says_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, expected: bool
) -> None:
    engine = use(monkeypatch, FakeDocker(error=error))
    assert place_docker.has_image(IMAGE) is expected
    assert engine.runs == []


def test_no_engine_at_all_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Any:
        raise docker.errors.DockerException("Error while fetching server API version: no such file")

    monkeypatch.setattr(place_docker, "_client", absent)
    assert not place_docker.has_image(IMAGE)


REFUSALS = [
    docker.errors.APIError("driver failed programming external connectivity: port is already allocated"),
    *SILENT,
]
REFUSED = ["refused", "no engine", "it hangs"]


@pytest.mark.parametrize("error", REFUSALS, ids=REFUSED)
def test_a_refusal_to_start_is_a_sentence_with_the_engines_words(
    monkeypatch: pytest.MonkeyPatch, launch: Launch, error: Exception
) -> None:
    use(monkeypatch, FakeDocker(error=error))
    with pytest.raises(ServerError, match=f"Docker did not start {IMAGE}: .*; 'docker info' tells whether") as caught:
        place_docker.start(launch)
    assert str(error) in str(caught.value)


@pytest.mark.parametrize("error", REFUSALS, ids=REFUSED)
def test_a_refusal_to_remove_is_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    use(monkeypatch, FakeDocker(error=error))
    with pytest.raises(ServerError, match=r"Docker did not remove container abc: .*'docker rm -f abc' removes it"):
        place_docker.stop(server(place="docker", container="abc"))


def test_a_container_that_the_engine_does_not_start_is_not_left_behind(engine: FakeDocker, launch: Launch) -> None:
    assert engine.container is not None
    engine.container.refusal = docker.errors.APIError("port is already allocated")
    with pytest.raises(ServerError, match=f"Docker did not start {IMAGE}: port is already allocated"):
        place_docker.start(launch)
    assert engine.container.removed == [{"force": True}]


def test_a_container_that_the_engine_neither_starts_nor_removes_is_named(
    monkeypatch: pytest.MonkeyPatch, engine: FakeDocker, launch: Launch
) -> None:
    def hangs(**_: Any) -> None:
        raise SILENT[-1]

    assert engine.container is not None
    engine.container.refusal = SILENT[-1]
    monkeypatch.setattr(engine.container, "remove", hangs)
    with pytest.raises(ServerError, match=f"did not start .*'docker rm -f {FakeContainer.id}' removes it by hand"):
        place_docker.start(launch)


# What engines say of a port that another container has, of one that a process has, and Docker 28 of either.
TAKEN = [
    "driver failed programming external connectivity: Bind for 127.0.0.1:8500 failed: port is already allocated",
    "failed to listen on TCP socket: listen tcp4 127.0.0.1:8500: bind: address already in use",
    "failed to bind host port for 127.0.0.1:8500:172.17.0.2:8500/tcp: address already in use",
]


@pytest.mark.parametrize("words", TAKEN, ids=["a container's", "a process's", "of Docker 28"])
def test_a_port_that_docker_finds_taken_costs_another_try_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, launch: Launch, tmp_path: Path, words: str
) -> None:
    lost, won = FakeContainer(), FakeContainer()
    lost.refusal = docker.errors.APIError(words)
    containers = iter([lost, won])
    engine = FakeDocker(won)
    said: list[str] = []
    monkeypatch.setattr(starting, "say", said.append)
    monkeypatch.setattr(engine, "create", lambda image, **options: next(containers))
    use(monkeypatch, engine)
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as page:
        Thread(target=page.serve_forever, daemon=True).start()
        ready = launch.model_copy(update={"ports": launch.ports | {"rest": page.server_address[1]}, "ready": "/"})
        launches = iter([launch, ready])
        record, _ = start(lambda: next(launches), "docker", workspace(tmp_path), lambda server: "known")
        page.shutdown()
    assert record.ports == ready.ports
    assert (lost.removed, won.removed) == ([{"force": True}], [])
    assert said[-1] == f"the log of tfserving: docker logs {FakeContainer.short_id}"
    assert str(launch.log) not in "".join(said), "which a container does not write"


def test_ports_that_are_lost_every_time_end_with_docker_s_words_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, launch: Launch, tmp_path: Path
) -> None:
    container = FakeContainer()
    container.refusal = docker.errors.APIError(TAKEN[0])
    engine = use(monkeypatch, FakeDocker(container))
    with pytest.raises(ServerError, match=r"'ss -ltnp' shows who listens.*port is already allocated"):
        start(lambda: launch, "docker", workspace(tmp_path), lambda server: "never")
    assert len(engine.runs) == MOST_STARTS


def test_an_image_that_is_not_there_is_named_with_what_to_do_and_not_pulled(
    monkeypatch: pytest.MonkeyPatch, launch: Launch
) -> None:
    use(monkeypatch, FakeDocker(error=docker.errors.ImageNotFound("no such image")))
    with pytest.raises(ServerError, match=f"nothing is pulled unasked: run 'docker pull {IMAGE}'"):
        place_docker.start(launch)


def test_a_log_that_cannot_be_read_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    contained = server(place="docker", container="gone")
    use(monkeypatch, FakeDocker())
    assert "No such container" in place_docker.last_lines(contained)
    use(monkeypatch, FakeDocker(error=SILENT[-1]))
    assert "Read timed out" in place_docker.last_lines(contained)


@pytest.mark.parametrize(
    "error", [docker.errors.ImageNotFound("no such image"), SILENT[-1]], ids=["absent", "it hangs"]
)
def test_asking_for_the_version_of_an_image_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    use(monkeypatch, FakeDocker(error=error))
    with pytest.raises(ServerError, match=IMAGE):
        tensorflow_serving.engine_version("docker")


def test_a_container_that_is_given_the_gpus_is_remembered_so(engine: FakeDocker, launch: Launch) -> None:
    assert not place_docker.start(launch).gpus
    assert place_docker.start(launch.model_copy(update={"gpus": True})).gpus
    (_, without), (_, given) = engine.runs
    assert "device_requests" not in without
    assert [item["Capabilities"] for item in given["device_requests"]] == [[["gpu"]]]
