"""The images of TF Serving. The original's base cannot be pulled everywhere, so:

- docker/tfserving.Dockerfile is built on a STAND-IN base, whose tensorflow_model_server is a small program that answers
  slowly and knows no signal (tests/tensorflow_model_server.py). What is tested is the image's own: entrypoint, user,
  health.
- docker/tfserving-embedded.Dockerfile is the EMBEDDED server, really.
- `serving up --tfserving docker` runs the original's image where the engine has it. Else the EMBEDDED server stands in,
  in an image of the original's name that is removed afterwards.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.client import DockerClient

from contract.endpoints import Servers
from contract.files import read_model
from serving.engines import tensorflow_serving
from serving.places import docker as place_docker
from serving.proof.rechecking import recheck
from tests.conftest import ROOT
from tests.docker_images import Image, build, build_here
from tests.docker_served import OFTEN, address_of, exit_code, health, mounted, published, running, wait_for
from tests.stage import KERAS_ON_TFSERVING, Stage, served_on
from tests.tensorflow_model_server import FAILED

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
pytest_plugins = ["tests.docker_engine"]

STAND_IN = """
FROM {python}
USER 0:0
COPY tensorflow_model_server.py /usr/bin/tensorflow_model_server
RUN chmod 755 /usr/bin/tensorflow_model_server
ENTRYPOINT []
"""
SERVED_STAND_IN = """
FROM {embedded}
USER 0:0
RUN printf '#!/bin/sh\\nexec python -m serving.tfserving --host=0.0.0.0 "$@"\\n' > /usr/bin/tensorflow_model_server \\
 && chmod 755 /usr/bin/tensorflow_model_server
"""
MODEL = ["--port=8500", "--rest_api_port=8501", "--model_name=half", "--model_base_path=/models/half"]
HELD = """
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000000 }
num_batch_threads { value: 1 }
"""


@pytest.fixture(scope="module")
def on_stand_in(engine: DockerClient, image: Image) -> str:
    """docker/tfserving.Dockerfile on a base that has Python, bash and a program of TF Serving's name."""
    dockerfile = STAND_IN.format(python=image("loadtest"))
    stand_in = build_here(engine, "stand-in-for-tfserving", dockerfile, ROOT / "tests" / "tensorflow_model_server.py")
    return build(engine, "tfserving", BASE=stand_in)


def get(address: str, path: str) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Server")
    finally:
        connection.close()


def test_with_a_stand_in_for_the_server_what_is_under_way_at_sigterm_is_answered_and_the_container_ends_well(
    engine: DockerClient, on_stand_in: str
) -> None:
    options = {"ports": published(8501), "healthcheck": OFTEN, "environment": {"DRAIN_S": "3"}}
    with running(engine, on_stand_in, command=MODEL, **options) as container:
        assert wait_for(lambda: health(container) == "healthy")
        assert container.exec_run("id -u").output.strip() == b"1000"
        assert container.exec_run(["touch", "/usr/local/bin/x"]).exit_code != 0
        address, answers = address_of(container, 8501), []
        sending = threading.Thread(target=lambda: answers.append(get(address, "/slow")[:2]))
        sending.start()
        assert wait_for(lambda: get(address, "/")[1] == b"1")
        container.stop(timeout=30)
        sending.join()
        assert answers == [(200, b"0")]
        assert exit_code(container) == 0


def test_with_a_stand_in_for_the_server_an_entrypoint_that_only_execs_would_never_end(
    engine: DockerClient, on_stand_in: str
) -> None:
    """Why docker/tfserving.sh does not: process 1 gets no signal that it has no handler for."""
    entrypoint = ["tensorflow_model_server"]
    with running(engine, on_stand_in, entrypoint=entrypoint, ports=published(8501), healthcheck=OFTEN) as container:
        assert wait_for(lambda: health(container) == "healthy")
        container.stop(timeout=2)
        assert exit_code(container) == 128 + 9


def test_with_a_stand_in_for_the_server_a_server_that_fails_tells_its_exit_code(
    engine: DockerClient, on_stand_in: str
) -> None:
    with running(engine, on_stand_in, command=["--fail"]) as container:
        assert container.wait(timeout=30)["StatusCode"] == FAILED


def test_a_base_without_the_server_is_refused(engine: DockerClient) -> None:
    with pytest.raises(AssertionError, match="error: BASE has no tensorflow_model_server"):
        build(engine, "tfserving")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TF Serving's own example, y = x / 2 + 2."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "tests/half_plus_two.py", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (folder / "saved_model_half_plus_two_cpu").rename(folder / "half")
    for path in (folder, *folder.rglob("*")):  # whoever runs in a container is nobody here
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def predict(address: str) -> Any:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", "/v1/models/half:predict", json.dumps({"instances": [1.0, 2.0, 5.0]}))
        return json.load(connection.getresponse())
    finally:
        connection.close()


def test_the_embedded_image_answers_says_that_it_is_embedded_and_answers_what_is_under_way_at_sigterm(
    engine: DockerClient, image: Image, models: Path
) -> None:
    """The batcher holds a single request for two seconds, and SIGTERM comes meanwhile."""
    (models / "batching.config").write_text(HELD)
    command = [*MODEL, "--enable_batching=true", "--batching_parameters_file=/models/batching.config"]
    options = {"ports": published(8501), "volumes": mounted(models, "ro", "/models"), "healthcheck": OFTEN}
    with running(engine, image("tfserving-embedded"), command=command, **options) as container:
        assert wait_for(lambda: health(container) == "healthy")
        address = address_of(container, 8501)
        assert get(address, "/v1/models/half")[2] == "loadproof-embedded"
        assert container.exec_run("id -u").output.strip() == b"1000"
        assert container.exec_run(["touch", "/loadproof/x"]).exit_code != 0

        answers: list[Any] = []
        sending = threading.Thread(target=lambda: answers.append(predict(address)))
        sending.start()
        time.sleep(1.0)  # of the two seconds that the answer takes
        container.stop(timeout=20)
        sending.join()
        assert answers == [{"predictions": [2.5, 3.0, 4.5]}]
        assert exit_code(container) == 0


@pytest.fixture
def launched_image(engine: DockerClient, image: Image) -> Iterator[str]:
    """What `serving up` runs: the original where the engine has it, else a stand-in of its name."""
    name = tensorflow_serving.image()
    if place_docker.has_image(name):
        yield name
        return
    tag = build_here(engine, "stand-in-that-serves", SERVED_STAND_IN.format(embedded=image("tfserving-embedded")))
    engine.images.get(tag).tag(*name.split(":"))
    yield name
    engine.images.remove(name)


def test_serving_in_docker_proves_every_endpoint_and_stopping_leaves_no_container(
    engine: DockerClient, launched_image: str, tmp_path: Path, copy_zoo: Callable[[Path], None]
) -> None:
    stage = Stage(tmp_path)
    with served_on(stage, copy_zoo, f"schema_version = 1\n{KERAS_ON_TFSERVING}", "--tfserving", "docker"):
        (server,) = read_model(stage.workspace.servers, Servers, "make serve").servers
        assert (server.engine_kind, server.place, server.engine_version) == ("real", "docker", "2.20.0")
        container = engine.containers.get(server.container)
        assert container.attrs["Config"]["Image"] == launched_image
        assert {port["HostIp"] for ports in container.ports.values() for port in ports or []} == {"127.0.0.1"}
        assert f"(real), container {container.id}" in stage.run("serving", "status").stdout
        assert {item.protocol for item in stage.endpoints()} == {"grpc", "rest"}
        for item in stage.endpoints():
            assert item.conditions["oneDNN"] == "as the server's image has it"
            assert recheck(item, stage.workspace).passed
    assert server.container not in {item.id for item in engine.containers.list(all=True)}
