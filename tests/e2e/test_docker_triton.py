"""The images of Triton on a CPU and of the load generator, built and run by a real engine."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from docker.client import DockerClient

from contract.endpoints import ServerRecord, Servers
from contract.events import read_events
from contract.files import read_model
from contract.verdict import Report
from contract.workspace import Workspace
from tests.docker_images import Image, build, build_here
from tests.docker_served import (
    HARDENED,
    NAME,
    OFTEN,
    address_of,
    done,
    exit_code,
    exported,
    give_away,
    health,
    isolated,
    mounted,
    published,
    running,
    wait_for,
    written_by_us,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
pytest_plugins = ["tests.docker_engine"]

LOADER = 10001  # the user of its image
ANSWER = pytest.approx([-1.0, -15 / 17, -13 / 17])  # the first row of the weight
WITHOUT_BACKENDS = "RUN cd /opt/tritonserver/backends && rm -r onnxruntime pytorch tensorflow\n"
BACK_S = 180.0  # to notice that it hangs takes half a minute, to end it 20 s
HELD_S = 2.0  # how long the server waits for more requests of a batch


@pytest.fixture(scope="module")
def served(engine: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported(tmp_path_factory.mktemp("images"))


def infer(address: str) -> dict[str, Any]:
    data = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    body = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": data}]}
    request = Request(f"http://{address}/v2/models/{NAME}/infer", json.dumps(body).encode())
    with urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_serving_in_docker_proves_every_endpoint_and_stopping_leaves_no_container(
    engine: DockerClient, image: Image, served: Workspace
) -> None:
    try:
        printed = done(served, "serving", "up", "--place", "docker", "--triton-image", image("triton-cpu"))
        assert [line.split()[1] for line in printed.splitlines()] == [f"{NAME}__triton__{p}" for p in ("http", "grpc")]
        assert "over 48 requests" in printed
        (record,) = json.loads(served.servers.read_text())["servers"]
        container = engine.containers.get(record["container"])
        assert container.attrs["HostConfig"]["ReadonlyRootfs"]
        assert {port["HostIp"] for ports in container.ports.values() for port in ports} == {"127.0.0.1"}
        assert container.exec_run("id -u").output.split() not in ([], [b"0"])
        assert wait_for(lambda: health(container) == "healthy")
        assert f"(real), container {container.id}" in done(served, "serving", "status")
    finally:
        stopped = done(served, "serving", "stop")
    assert stopped == "stopped triton\n"
    assert record["container"] not in {item.id for item in engine.containers.list(all=True)}
    assert done(served, "serving", "status").startswith("nothing runs; ")


@pytest.mark.parametrize(("signal", "told"), [("KILL", "triton died"), ("STOP", "triton stopped answering")])
def test_a_container_that_dies_or_hangs_is_told_and_back_with_right_answers(
    engine: DockerClient, image: Image, served: Workspace, signal: str, told: str
) -> None:
    try:
        done(served, "serving", "up", "--place", "docker", "--triton-image", image("triton-cpu"))
        before = _triton(served)
        everybody = engine.api.exec_create(before.container, ["sh", "-c", f"kill -{signal} -1"])  # but process 1
        engine.api.exec_start(everybody, detach=True)
        wait_for(lambda: len(read_events(served.events)) == 2, BACK_S)
        died, again = read_events(served.events)
        assert (died.what, died.detail, again.what) == ("died", told, "restarted")
        after = _triton(served)
        assert (after.place, after.ports) == ("docker", before.ports)
        assert before.container not in {item.id for item in engine.containers.list(all=True)}
        assert infer(f"127.0.0.1:{after.ports['http']}")["outputs"][0]["data"] == ANSWER
    finally:
        done(served, "serving", "stop")
    assert after.container not in {item.id for item in engine.containers.list(all=True)}


def _triton(place: Workspace) -> ServerRecord:
    (server,) = read_model(place.servers, Servers, "make serve").servers
    return server


def test_the_image_alone_serves_a_mounted_repository_as_nobody_on_a_root_file_system_that_is_read_only(
    engine: DockerClient, image: Image, served: Workspace
) -> None:
    volumes = mounted(served.triton_repository, "ro", "/models")
    with running(engine, image("triton-cpu"), ports=published(8000), volumes=volumes, healthcheck=OFTEN) as container:
        assert wait_for(lambda: health(container) == "healthy")
        assert infer(address_of(container, 8000))["outputs"][0]["data"] == ANSWER
        assert container.exec_run("id -u").output.strip() == b"1000"
        for place in ("/opt/tritonserver/x", "/x", "/models/x"):
            assert container.exec_run(["touch", place]).exit_code != 0
        assert container.exec_run(["touch", "/tmp/x"]).exit_code == 0


def test_models_can_be_put_into_the_image_of_their_server(
    engine: DockerClient, image: Image, served: Workspace
) -> None:
    tag = build(engine, "models", served.triton_repository, BASE=image("triton-cpu"))
    with running(engine, tag, ports=published(8000), healthcheck=OFTEN) as container:
        assert wait_for(lambda: health(container) == "healthy")
        assert infer(address_of(container, 8000))["outputs"][0]["data"] == ANSWER


def test_the_image_for_production_is_refused_on_a_release_with_known_flaws(engine: DockerClient, image: Image) -> None:
    with pytest.raises(AssertionError, match=r"error: BASE is Triton release 24\.10, needed is 25\.07 or newer"):
        build(engine, "triton", BASE=image("triton-cpu"))


def test_the_image_for_production_serves_on_a_stand_in_for_nvidias_base(
    engine: DockerClient, image: Image, served: Workspace
) -> None:
    """NVIDIA's image cannot be pulled everywhere: the base is Triton 24.10 that SAYS it is 26.08, with no backend."""
    bare = f"FROM {image('triton-cpu')}\nUSER 0\nENV NVIDIA_TRITON_SERVER_VERSION=26.08\n{WITHOUT_BACKENDS}"
    tag = build(engine, "triton", BASE=build_here(engine, "stand-in-for-nvidias", bare))
    volumes = mounted(served.triton_repository, "ro", "/models")
    with running(engine, tag, ports=published(8000), volumes=volumes, healthcheck=OFTEN) as container:
        assert wait_for(lambda: health(container) == "healthy")
        assert container.exec_run("id -u").output.strip() == b"1000"
        assert infer(address_of(container, 8000))["outputs"][0]["data"] == ANSWER


def test_a_request_that_is_under_way_when_sigterm_comes_is_answered_and_the_server_ends_by_itself(
    engine: DockerClient, image: Image, served: Workspace, tmp_path: Path
) -> None:
    """The batcher holds a single request for two seconds, and SIGTERM comes meanwhile."""
    model = tmp_path / NAME
    (model / "1").mkdir(parents=True)
    original = served.triton_repository / NAME
    (model / "1" / "model.onnx").write_bytes((original / "1" / "model.onnx").read_bytes())
    config = (original / "config.pbtxt").read_text().split("model_warmup")[0] + 'backend: "onnxruntime"\n'
    held = f"dynamic_batching {{\n  max_queue_delay_microseconds: {HELD_S * 1e6:.0f}\n  preferred_batch_size: 32\n"
    (model / "config.pbtxt").write_text(config.replace("dynamic_batching {\n", held))
    tmp_path.chmod(0o755)
    options = {"ports": published(8000, 8002), "volumes": mounted(tmp_path, "ro", "/models"), "healthcheck": OFTEN}
    with running(engine, image("triton-cpu"), **options) as container:
        assert wait_for(lambda: health(container) == "healthy")
        address, metrics = address_of(container, 8000), address_of(container, 8002)
        answers: list[dict[str, Any]] = []
        sending = threading.Thread(target=lambda: answers.append(infer(address)))
        sending.start()
        assert wait_for(lambda: _pending(metrics) == 1)
        container.stop(timeout=40)
        sending.join()
        assert len(answers) == 1
        assert exit_code(container) == 0, container.logs(tail=20).decode()


def _pending(metrics: str) -> int:
    """How many requests wait in the server for their turn."""
    with urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = [line for line in lines if line.startswith("nv_inference_pending_request_count{")]
    return int(float(line.split()[-1]))


def test_the_image_of_the_load_generator_proves_loads_and_judges_over_a_network_without_a_way_out(
    engine: DockerClient, image: Image, served: Workspace, tmp_path: Path
) -> None:
    for name in ("artifacts", "model_repository"):
        shutil.copytree(served.root / name, tmp_path / name)
    shutil.copy2(served.root / "models.toml", tmp_path)
    for folder in (tmp_path, tmp_path.parent):  # whoever runs in a container is nobody here
        folder.chmod(0o755)
    if os.getuid() == 0:
        give_away(tmp_path, LOADER)
    user = LOADER if os.getuid() == 0 else os.getuid()
    where = f"--workspace {tmp_path} --config {tmp_path}/models.toml"
    triton = ["tritonserver", f"--model-repository={tmp_path}/model_repository/triton", "--model-control-mode=explicit"]
    with isolated(engine) as network:
        host = f"{network}-triton"
        commands = f"""
            python -m serving up {where} --triton http://{host}:8000,grpc://{host}:8001 --allow-host {host}
            python -m loadtest {where} --allow-host {host} --max-rps 1000 --processes 2 --uncertified
            python -m report --workspace {tmp_path} || test $? = 4
        """
        of_triton = {"name": host, "volumes": mounted(tmp_path, "ro"), "network": network, "healthcheck": OFTEN}
        with running(engine, image("triton-cpu"), command=triton, **of_triton) as server:
            assert wait_for(lambda: health(server) == "healthy")
            shell = {"entrypoint": ["sh", "-ec"], "command": [commands], "user": str(user)}
            of_load = {"volumes": mounted(tmp_path, "rw"), "network": network}
            with running(engine, image("loadtest"), **shell, **of_load) as generator:
                ended = generator.wait(timeout=180)
                assert ended["StatusCode"] == 0, generator.logs(tail=30).decode()
    report = read_model(tmp_path / "reports" / "latest" / "report.json", Report, "report")
    assert [item.id for item in report.variants] == [f"{NAME}__triton__{protocol}" for protocol in ("http", "grpc")]
    for item in report.variants:
        for stage in item.stages:
            assert stage.requests > 0
            assert (stage.errors, stage.wrong_answers) == ({}, 0)
            assert stage.answers_checked > 0


def test_the_image_of_the_load_generator_has_no_framework_no_pip_no_root_and_less_than_350_mb_of_ours(
    engine: DockerClient, image: Image
) -> None:
    tag = image("loadtest")
    assert written_by_us(engine.images.get(tag)) < 350e6
    names = ("torch", "tensorflow", "keras", "onnxruntime", "onnx", "pip")
    code = f"import importlib.util as u, os; print(os.getuid(), [name for name in {names} if u.find_spec(name)])"
    options = {**HARDENED, "detach": False, "remove": True, "network": "none"}
    printed = engine.containers.run(tag, entrypoint=["python", "-c", code], **options)
    assert printed.decode().strip() == f"{LOADER} []"
    usage = engine.containers.run(tag, **options).decode()
    assert usage.startswith("usage: python -m loadtest")
