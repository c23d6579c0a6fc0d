"""The jobs that load and measure from inside, as processes of this machine: their own arguments against a real Triton.

What is not Kubernetes here: names (addresses are given), volumes (folders), the image (its absent packages are hidden).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from contract.endpoints import Endpoints
from contract.files import read_model
from contract.recommendation import Recommendation
from contract.records import Plan, read_records
from contract.verdict import Report
from contract.workspace import Workspace
from report.__main__ import EXIT_CODES
from tests.builders import free_port
from tests.conftest import run_module
from tests.e2e.test_elsewhere import MIXED, MODELS
from tests.k8s_jobs import LocalPod, fill_store, job_objects, named, steps
from tests.k8s_rendered import K8S
from tune.measuring import BEGIN, END, VALUES

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# What any machine holds, so that the search finds it at once.
PATIENT = MODELS.replace("slo = { rate = 20 }", "slo = { rate = 20, p50_ms = 2000 }")
SHORT_SEARCH = ["--max-rps=60", "--probe-s=1.5", "--confirm-s=10", "--resolution=0.5", "--uncertified"]
CUT = re.compile(r"\| sed -n '(?P<script>.+)' > recommendation\.json")


@dataclass(frozen=True)
class Cluster:
    """What the jobs find: a server with one model, and the volume that was filled for it."""

    claims: Path
    settings: dict[str, str]
    endpoints: Endpoints


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    place = Workspace(tmp_path_factory.mktemp("serves"))
    claims = tmp_path_factory.mktemp("claims")
    (place.root / "mixed.py").write_text(MIXED)
    (place.root / "models.toml").write_text(PATIENT)
    flags = ["--config", str(place.root / "models.toml"), "--workspace", str(place.root)]
    try:
        for command in (["export"], ["serving", "up"]):
            result = run_module(*command, *flags)
            assert result.returncode == 0, result.stderr
        fill_store(claims, place.root)
        endpoints = read_model(place.endpoints, Endpoints, "serving")
        server = ",".join(f"{item.protocol}://{item.address}" for item in endpoints.endpoints)
        settings = {"SERVER": server.replace("127.0.0.1", "localhost"), "MODEL": "mixed__torchscript", "DEVICE": "cpu"}
        yield Cluster(claims, settings, endpoints)
    finally:
        run_module("serving", "stop", *flags)


def pod(
    folder: Path, cluster: Cluster, job: str, name: str, replaced: dict[str, list[str]], **changed: str
) -> LocalPod:
    folder.mkdir()
    objects = job_objects(job)
    return LocalPod(
        folder, objects, named(objects, "Job", name), cluster.claims, {**cluster.settings, **changed}, replaced
    )


def test_master_and_workers_load_what_was_proven_and_leave_a_judged_report(cluster: Cluster, tmp_path: Path) -> None:
    port = str(free_port())
    here = {"--port=5557": [f"--port={port}"], "--bind=0.0.0.0": ["--bind=127.0.0.1"]}
    master = pod(tmp_path / "master", cluster, "load", "load-master", here, ALLOW_HOST="localhost")
    here = {"--port=5557": [f"--port={port}"], "--master=load-master": ["--master=127.0.0.1"]}
    workers = [pod(tmp_path / f"worker{n}", cluster, "load", "load-workers", here) for n in range(2)]
    (step,) = steps(workers[0].job)
    joined: list[subprocess.Popen[str]] = []
    try:
        joined = [worker.start(step) for worker in workers]  # both jobs are applied at once, so they wait
        assert "proven  mixed__torchscript__triton__grpc at localhost:" in master.run("prove")
        master.run("load")
        assert [process.wait(60) for process in joined] == [0, 0], workers[0].log("worker")
    finally:
        for process in joined:
            process.kill()
            process.communicate()

    results = cluster.claims / "load-results" / "results" / "latest"
    plan = read_model(results / "plan.json", Plan, "loadtest")
    assert [item.endpoint.device for item in plan.variants] == ["cpu"] * len(plan.variants)
    for item in plan.variants:
        assert set(read_records(results, item.id).column("worker").to_pylist()) == {0, 1}

    assert "mixed" in master.run("report")
    report = read_model(cluster.claims / "load-results" / "reports" / "latest" / "report.json", Report, "report")
    assert {item.id for item in report.variants} == {item.id for item in cluster.endpoints.endpoints}
    assert all(stage.wrong_answers == 0 for item in report.variants for stage in item.stages)
    assert report.sentence in master.run("verdict", code=EXIT_CODES[report.verdict])


@pytest.mark.alone
def test_a_pod_is_proven_and_measured_and_its_log_says_what_to_deploy(cluster: Cluster, tmp_path: Path) -> None:
    with usage_page(cluster) as port:
        server = f"{cluster.settings['SERVER']},usage://localhost:{port}"
        measure = pod(tmp_path / "pod", cluster, "measure", "measure", {"--max-rps=20000": SHORT_SEARCH}, SERVER=server)
        assert "proven  mixed__torchscript__triton__http at 127.0.0.1:" in measure.run("prove")
        assert "localhost has 1 ready; 127.0.0.1 is asked, alone" in measure.log("prove")
        told = measure.run("measure")
    file = cluster.claims / "measure-results" / "reports" / "latest" / "recommendation.json"
    found = read_model(file, Recommendation, "report")
    said = CUT.search(told)  # the filter that the log itself names
    assert said is not None
    cut = subprocess.run(["sed", "-n", said["script"]], input=told, capture_output=True, text=True, check=True)
    assert Recommendation.model_validate(json.loads(cut.stdout)) == found
    assert told.index(BEGIN) < told.index(END)
    lines = [line.split() for line in told.splitlines() if line.startswith("  ")]
    values = {words[0]: words[1] for words in lines if words and words[0] in VALUES}
    best = found.models["mixed"]
    assert best.max_rps and float(values["max_rps"]) == pytest.approx(best.max_rps, rel=0.01)
    assert best.queue_us is not None and float(values["queue_us"]) == pytest.approx(best.queue_us, rel=0.01)
    assert best.device == "cpu"
    # What a deployment's cores and memory are sized by: those of the server, which no process of the job can see.
    resident = psutil.Process(triton_pid(cluster)).memory_info().rss / 2**20
    assert best.server_mib is not None and best.server_mib > resident / 2
    assert best.server_cores is not None and 0 < best.server_cores < (psutil.cpu_count() or 1)
    assert float(values["server_mib"]) == pytest.approx(best.server_mib, rel=0.01)


@contextmanager
def usage_page(cluster: Cluster) -> Iterator[int]:
    """The sidecar of k8s/components/usage, as a process: its own arguments, but for the port and whom it watches."""
    patch = yaml.safe_load((K8S / "components" / "usage" / "deployment.yaml").read_text())
    (sidecar,) = patch["spec"]["template"]["spec"]["initContainers"]
    port = free_port()
    # A pod has one server of that name; this machine may have others.
    here = {"--port=9102": f"--port={port}", "--bind=0.0.0.0": "--bind=127.0.0.1"}
    words = [here.get(word, word) for word in sidecar["args"] if not word.startswith("tensor")]
    words[words.index("tritonserver")] = str(triton_pid(cluster))
    page = subprocess.Popen([sys.executable, "-m", *words])
    try:
        yield port
    finally:
        page.terminate()
        page.wait(timeout=30)


def triton_pid(cluster: Cluster) -> int:
    (pid,) = (server.pid for server in cluster.endpoints.servers if server.engine == "triton" and server.pid)
    return pid


def test_a_model_that_the_pods_do_not_serve_is_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    wrong = pod(tmp_path / "pod", cluster, "measure", "measure", {}, MODEL="mixed__onnx")
    wrong.run("prove", code=2)
    assert "models.toml has no 'mixed__onnx'; did you mean 'mixed__torchscript'?" in wrong.log("prove")
