"""The jobs that load and measure, in the image of the load generator, on a network with the Services' own names.

Nothing of their manifests is changed but the model's name and the length of a search. No Kubernetes: no NetworkPolicy,
no volume of a storage class, no probe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from docker.client import DockerClient

from contract.files import read_model
from contract.recommendation import Recommendation
from contract.verdict import Report
from report.__main__ import EXIT_CODES
from serving.deploying.kustomization import MEASURED_AT
from tests.docker_images import Image
from tests.docker_served import MODELS, NAME, exported, isolated
from tests.e2e.test_measuring import SHORT_SEARCH
from tests.k8s_containers import ContainerPod, start_server, start_sidecar
from tests.k8s_jobs import fill_store, job_objects, named

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
pytest_plugins = ["tests.docker_engine"]


@dataclass(frozen=True)
class Namespace:
    """A network with a server on it, and the volumes."""

    engine: DockerClient
    network: str
    image: str
    claims: Path

    def pod(self, folder: Path, job: str, name: str, replaced: dict[str, list[str]], **changed: str) -> ContainerPod:
        folder.mkdir()
        objects = job_objects(job)
        found = named(objects, "Job", name)
        settings = {"MODEL": NAME, **changed}
        return ContainerPod(
            self.engine, self.network, self.image, objects, found, self.claims, folder, settings, replaced
        )


@pytest.fixture(scope="module")
def namespace(engine: DockerClient, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    place = exported(tmp_path_factory.mktemp("exported"))
    (place.root / "models.toml").write_text(MODELS.replace("slo = { rate = 20 }", "slo = { rate = 20, p50_ms = 2000 }"))
    claims = tmp_path_factory.mktemp("claims")
    fill_store(claims, place.root)
    with isolated(engine) as network:
        server = start_server(engine, network, image("triton-cpu"), place.triton_repository)
        try:
            sidecar = start_sidecar(engine, image("loadtest"), server)
            try:
                yield Namespace(engine, network, image("loadtest"), claims)
            finally:
                sidecar.remove(force=True)
        finally:
            server.remove(force=True)


def test_master_and_workers_find_each_other_and_the_server_by_their_own_names(
    namespace: Namespace, tmp_path: Path
) -> None:
    master = namespace.pod(tmp_path / "master", "load", "load-master", {})
    workers = [namespace.pod(tmp_path / f"worker{number}", "load", "load-workers", {}) for number in range(2)]
    joined = [worker.start("worker") for worker in workers]  # both jobs are applied at once, so they wait
    try:
        assert f"proven  {NAME}__triton__grpc at triton:8001" in master.run("prove")
        master.run("load", "load-master")
        assert [container.wait(timeout=60)["StatusCode"] for container in joined] == [0, 0]
    finally:
        for container in joined:
            container.remove(force=True)
    assert "linear" in master.run("report")
    report = read_model(namespace.claims / "load-results" / "reports" / "latest" / "report.json", Report, "report")
    assert [item.device for item in report.variants] == ["cpu", "cpu"]
    assert all(stage.requests and not stage.wrong_answers for item in report.variants for stage in item.stages)
    assert report.sentence in master.run("verdict", code=EXIT_CODES[report.verdict])


@pytest.mark.alone
def test_one_pod_is_found_behind_its_headless_service_and_measured(namespace: Namespace, tmp_path: Path) -> None:
    shorter = {"--max-rps=20000": SHORT_SEARCH}
    measure = namespace.pod(tmp_path / "pod", "measure", "measure", shorter, SERVER=MEASURED_AT["triton"])
    proven = measure.run("prove")
    assert f"proven  {NAME}__triton__http at " in proven and "triton-headless" not in proven
    told = measure.run("measure")
    file = namespace.claims / "measure-results" / "reports" / "latest" / "recommendation.json"
    found = read_model(file, Recommendation, "report").models["linear"]
    assert found.max_rps and found.device == "cpu"
    assert found.server_mib and found.server_mib > 50 and found.server_cores, "told beside the server, in its pod"
    assert "python -m serving deploy --from recommendation.json --model linear --device cpu" in told
    assert "-----BEGIN recommendation.json-----" in told


def test_a_service_that_is_not_there_is_a_sentence(namespace: Namespace, tmp_path: Path) -> None:
    replaced = {
        "--server=http://triton-headless:8000,grpc://triton-headless:8001": ["--server=http://tritone:8000"],
        "--wait-s=3600": [],
    }
    measure = namespace.pod(tmp_path / "pod", "measure", "measure", replaced)
    container = measure.start("prove")
    try:
        assert container.wait(timeout=120)["StatusCode"] == 3
        said = container.logs(stdout=False).decode()
    finally:
        container.remove(force=True)
    assert "error: tritone has no address" in said and "is a pod of it ready?" in said
