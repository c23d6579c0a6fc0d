"""What only an API server can say of k8s/: defaults, validation, admission; and a deployment that measures itself.

Without a cluster these two are skipped; what they ask is tested against a kubectl that notes what it is asked.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import run_module
from tests.e2e.test_elsewhere import MIXED, MODELS
from tests.k8s_cluster import RESTRICTED, Cluster, cluster, known_kinds, moved, sorted_out, why_not
from tests.k8s_deployed import IMAGES, filling, measuring_overlay, sums_of
from tests.k8s_jobs import JOBS, job_objects, named, of_kind
from tests.k8s_rendered import OVERLAYS, rendered

Document = dict[str, Any]
KUBECTL = str(Path(sys.executable).parent / "kubectl")
API_RESOURCES = """configmaps  cm  v1  true  ConfigMap
services  svc  v1  true  Service
deployments  deploy  apps/v1  true  Deployment
jobs    batch/v1  true  Job
"""
NOTING = """#!{python}
import json, pathlib, sys
given = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace")
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], given]) + "\\n")
for words, answer in {answers!r}.items():
    if words in " ".join(sys.argv):
        print(answer)
"""


@pytest.fixture
def noting(tmp_path: Path) -> tuple[str, Path]:
    """A kubectl that writes down what it is asked, and its notes."""
    log, program = tmp_path / "asked", tmp_path / "kubectl"
    over = json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    answers = {"api-resources": API_RESOURCES, "get job/": over}
    program.write_text(NOTING.format(python=sys.executable, log=str(log), answers=answers))
    program.chmod(0o755)
    log.touch()
    return str(program), log


def asked(log: Path) -> list[tuple[list[str], str]]:
    return [(words, given) for words, given in map(json.loads, log.read_text().splitlines())]


def test_without_a_cluster_the_reason_is_said(tmp_path: Path) -> None:
    assert "KUBECONFIG is not set" in why_not({}, KUBECTL)
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\nkind: Config\n")
    assert f"KUBECONFIG is {config}, and no cluster answers" in why_not({"KUBECONFIG": str(config)}, "/bin/false")


def test_kinds_that_a_cluster_has_no_definition_of_are_named_and_not_sent() -> None:
    found, unknown = sorted_out(rendered("cpu"), known_kinds(API_RESOURCES))
    assert {item["kind"] for item in found} == {"ConfigMap", "Service", "Deployment"}
    assert any(name.startswith("PrometheusRule ") for name in unknown)
    assert not any(name.startswith("Namespace") for name in unknown)


def test_nothing_is_sent_into_another_namespace_than_the_tests_own() -> None:
    sent = list(yaml.safe_load_all(moved(rendered("gpu-multi"), "loadproof-tests-1")))
    assert {item["metadata"]["namespace"] for item in sent} == {"loadproof-tests-1"}
    assert {item["metadata"]["namespace"] for item in rendered("cpu") if item["kind"] != "Namespace"} == {"loadproof"}


def test_a_dry_run_is_the_servers_and_the_namespace_is_gone_afterwards(noting: tuple[str, Path]) -> None:
    program, log = noting
    with cluster(program) as there:
        found, _ = sorted_out(job_objects("load"), there.kinds())
        there.dry_run(found)
        assert there.completed("measure", 1)
    first, *_, last = asked(log)
    assert first[0][2:] == ["create", "--filename=-"]
    assert yaml.safe_load(first[1])["metadata"] == {"name": there.namespace, "labels": RESTRICTED}
    assert last[0][2:] == ["delete", "namespace", there.namespace, "--wait=false"]
    (dry,) = (item for item in asked(log) if "apply" in item[0])
    assert {"--server-side", "--dry-run=server"} <= set(dry[0])
    assert {item["kind"] for item in yaml.safe_load_all(dry[1])} == {"ConfigMap", "Service", "Job"}
    assert all(words[:2] == ["--namespace", there.namespace] for words, _ in asked(log))


def test_an_overlay_of_the_tests_has_the_images_of_the_cluster(tmp_path: Path) -> None:
    environment = dict.fromkeys(IMAGES.values(), "registry:5000/some/image:1.2")
    objects = measuring_overlay(tmp_path, "mixed__torchscript", "0 ", environment)
    assert set(re.findall(r"image: (\S+)", yaml.safe_dump_all(objects))) == {"registry:5000/some/image:1.2"}
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert named(objects, "Job", "measure")


# With a cluster.


@pytest.fixture(scope="module")
def there() -> Iterator[Cluster]:
    reason = why_not(os.environ, KUBECTL)
    if reason:
        pytest.skip(reason)
    with cluster(KUBECTL) as found:
        yield found


@pytest.mark.e2e
@pytest.mark.parametrize("folder", [*(f"overlays/{name}" for name in OVERLAYS), *(f"jobs/{name}" for name in JOBS)])
def test_the_api_server_takes_what_would_be_applied(there: Cluster, folder: str) -> None:
    kind, _, name = folder.partition("/")
    found, unknown = sorted_out(rendered(name) if kind == "overlays" else job_objects(name), there.kinds())
    for item in unknown:
        print(f"not validated: {item}")
    warnings = there.dry_run(found)
    assert "PodSecurity" not in warnings, warnings
    assert "unknown field" not in warnings, warnings


@pytest.mark.e2e
@pytest.mark.slow
def test_a_deployment_on_a_cpu_node_is_measured_by_its_own_job(there: Cluster, tmp_path: Path) -> None:
    missing = [name for name in IMAGES.values() if name not in os.environ]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not set: images that this cluster's nodes can pull")
    (tmp_path / "mixed.py").write_text(MIXED)
    (tmp_path / "models.toml").write_text(MODELS)
    flags = ["--config", str(tmp_path / "models.toml"), "--workspace", str(tmp_path)]
    for command in (["export"], ["serving", "repository"]):
        assert run_module(*command, *flags).returncode == 0
    name = "mixed__torchscript"
    folder = tmp_path / "model_repository" / "triton" / name
    overlay = measuring_overlay(tmp_path / "overlay", name, sums_of(folder), os.environ)
    there.apply(moved([named(overlay, "PersistentVolumeClaim", "model-store"), filling(os.environ)], there.namespace))
    there.ask("wait", "pod/filling", "--for=condition=Ready", "--timeout=300s", timeout=330)
    files = {name: folder, "artifacts": tmp_path / "artifacts", "models.toml": tmp_path / "models.toml"}
    there.bring(files, "filling")
    found, _ = sorted_out(overlay, there.kinds())
    there.apply(moved(found, there.namespace))
    there.ask("rollout", "status", "deployment/triton", "--timeout=600s", timeout=630)
    ended_well = there.completed("measure", 1800)
    log, _ = there.ask("logs", "job/measure", "--all-containers")
    assert ended_well, log
    assert "-----BEGIN recommendation.json-----" in log
