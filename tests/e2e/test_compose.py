"""docker/compose.yaml as containers: servers, two load workers and a Prometheus, proven and loaded from both sides.

The tests of this file go through one life of one project, in their order. Nothing can be pulled here, so the Prometheus
is Debian's in an image of its own, with the project's own configuration and rules; Grafana is not run.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.client import DockerClient

from contract.endpoints import Endpoints
from contract.files import read_model
from contract.records import read_records
from contract.workspace import Workspace
from tests.compose_stack import Stack, services, stack
from tests.docker_images import REGISTRY, Image, base
from tests.docker_served import done, exported, give_away, wait_for

pytest_plugins = ["tests.docker_engine"]
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SAVED = """
[models.saved]
framework = "onnx"
source = "linear.onnx"
formats = ["savedmodel"]
engines = ["tfserving"]
inputs = [{ name = "features", dtype = "float32", dims = ["batch", 6], range = [-1, 1] }]
outputs = [{ name = "scores", dtype = "float32", dims = ["batch", 3] }]
slo = { rate = 20 }
"""
PROMETHEUS = "loadproof-tests/prometheus:2.42.0"
DEBIAN_PROMETHEUS = """
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends wget && cd /tmp && apt-get download prometheus \\
 && dpkg-deb -x prometheus_*.deb prometheus && cp prometheus/usr/bin/prometheus /usr/local/bin/ \\
 && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["prometheus"]
"""
IMAGES = ("triton-cpu", "tfserving-embedded", "loadtest")
STARTED = ("triton", "tfserving", "worker", "prometheus")  # the profiles cpu and observe, less Grafana
WORKERS = 2
ENDPOINT = "linear__onnx__triton__http"
ENDPOINTS = {"linear__onnx__triton": {"http", "grpc"}, "saved__savedmodel__tfserving": {"rest", "grpc"}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose models are proven and laid out, as `python -m serving repository` leaves it."""
    found = exported(tmp_path_factory.mktemp("compose"))
    with (found.root / "models.toml").open("a") as models:
        models.write(SAVED)
    done(found, "export")
    done(found, "serving", "repository")
    found.results.mkdir()
    give_away(found.results, 10001)
    return found


@pytest.fixture(scope="module")
def project(place: Workspace, engine: DockerClient, image: Image) -> Iterator[Stack]:
    for name in IMAGES:
        image(name)
    variables = {"WORKERS": str(WORKERS), "REGISTRY": REGISTRY, "PROMETHEUS_IMAGE": _prometheus(engine)}
    with stack(place, **variables) as project:
        project.done("up", "--detach", "--scale", f"worker={WORKERS}", *STARTED)
        yield project


def _prometheus(engine: DockerClient) -> str:
    engine.images.build(
        fileobj=io.BytesIO(DEBIAN_PROMETHEUS.encode()),
        tag=PROMETHEUS,
        buildargs={"BASE": base(engine)},
        network_mode="host",
        forcerm=True,
    )
    return PROMETHEUS


def containers(engine: DockerClient, project: Stack) -> dict[str, Any]:
    """The project's containers by service; one of several workers."""
    found = engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={project.name}"})
    return {item.labels["com.docker.compose.service"]: item for item in found}


def metric(project: Stack, expression: str) -> list[tuple[dict[str, str], float]]:
    """What an expression gives now: labels and value."""
    result = project.prometheus("query", query=expression)["result"]
    return [(item["metric"], float(item["value"][1])) for item in result]


def errors(run: Path) -> set[str]:
    """How the requests of a run to one endpoint failed; "" of those that did not."""
    return {str(error or "") for error in read_records(run, ENDPOINT)["error"].to_pylist()}


def test_up_returns_when_the_servers_are_healthy(engine: DockerClient, project: Stack) -> None:
    found = containers(engine, project)
    assert found.keys() == set(STARTED)
    for name in ("triton", "tfserving"):
        assert found[name].attrs["State"]["Health"]["Status"] == "healthy", name


@pytest.mark.parametrize("name", STARTED)
def test_a_container_runs_without_rights_and_is_seen_on_loopback_only(
    engine: DockerClient, project: Stack, name: str
) -> None:
    container = containers(engine, project)[name]
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
    assert container.attrs["Config"]["User"] == services()[name]["user"]
    bindings = [binding for ports in (host["PortBindings"] or {}).values() for binding in ports]
    assert {binding["HostIp"] for binding in bindings} <= {"127.0.0.1"}
    told = container.exec_run(
        ["sh", "-c", "exec 2>&1; id -u; grep CapEff /proc/self/status; touch /etc/new || touch /tmp/new"]
    )
    assert told.exit_code == 0, told.output
    lines = told.output.decode().split("\n")
    assert lines[0] == services()[name]["user"].partition(":")[0]
    assert int(lines[1].split()[1], 16) == 0
    assert "Read-only file system" in lines[2]


def test_the_models_cannot_be_changed_from_inside(engine: DockerClient, project: Stack, place: Workspace) -> None:
    told = containers(engine, project)["triton"].exec_run(["touch", str(place.triton_repository / "new")])
    assert told.exit_code != 0 and b"Read-only" in told.output


def test_both_servers_are_proven_from_outside_through_the_published_ports(project: Stack, place: Workspace) -> None:
    triton = ",".join(project.address(f"TRITON_{purpose.upper()}", purpose) for purpose in ("http", "grpc", "metrics"))
    tfserving = ",".join(project.address(f"TFSERVING_{purpose.upper()}", purpose) for purpose in ("rest", "grpc"))
    try:
        done(place, "serving", "up", "--triton", triton, "--tfserving", tfserving)
        found = read_model(place.endpoints, Endpoints, "serving up").endpoints
        assert {item.id for item in found} == {
            f"{name}__{protocol}" for name, protocols in ENDPOINTS.items() for protocol in protocols
        }
        assert all(item.parity_endpoint.passed for item in found)
        assert {item.engine_kind for item in found if item.engine == "tfserving"} == {"embedded"}
        run = Path(done(place, "loadtest", "--uncertified", "--variant", ENDPOINT).split()[-1])
        assert errors(run) == {""}
    finally:
        done(place, "serving", "stop")


def test_a_load_from_inside_is_shared_by_the_workers_and_comes_out(project: Stack, place: Workspace) -> None:
    before = set(place.results.iterdir())
    shown = project.run("run", "--rm", "--use-aliases", "-T", "load", LOADTEST=f"--variant {ENDPOINT}")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    (run,) = (folder for folder in set(place.results.iterdir()) - before if not folder.is_symlink())
    assert shown.stdout.split()[-1] == f"/loadproof/results/{run.name}"
    assert run.stat().st_uid == 10001
    assert errors(run) == {""}
    assert set(read_records(run, ENDPOINT)["worker"].to_pylist()) == set(range(WORKERS))


def test_prometheus_finds_every_server_and_takes_every_rule(project: Stack) -> None:
    def up() -> bool:
        targets = project.prometheus("targets")["activeTargets"]
        return {item["labels"]["job"]: item["health"] for item in targets} == {"triton": "up", "tfserving": "up"}

    wait_for(up)
    rules = [rule for group in project.prometheus("rules")["groups"] for rule in group["rules"]]
    assert wait_for(lambda: all(rule["health"] == "ok" for rule in rules) and len(rules))


def test_what_was_loaded_is_recorded_by_the_rules(project: Stack) -> None:
    """The two loads before were seconds ago, and a rate is over a minute of scrapes."""
    served = {"namespace": "compose", "model": "linear__onnx"}
    ((labels, mean_us),) = wait_for(lambda: metric(project, "model:triton_request_us:mean1m > 0"))
    assert labels == {"__name__": "model:triton_request_us:mean1m", **served}
    assert 10 < mean_us < 1_000_000
    ((_, failed),) = wait_for(lambda: metric(project, 'model:errors:ratio_rate5m{engine="triton"}'))
    assert failed == 0


def test_down_leaves_nothing(engine: DockerClient, project: Stack) -> None:
    project.done("--profile", "cpu", "--profile", "observe", "down", "--volumes", "--timeout", "10")
    assert containers(engine, project) == {}
    label = {"label": f"com.docker.compose.project={project.name}"}
    assert engine.networks.list(filters=label) == engine.volumes.list(filters=label) == []
