"""The jobs that load and measure from inside: they render, they are valid, and their parts agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serving import attach
from serving.engines.triton import USUAL_PORTS as TRITON_PORTS
from serving.places.addresses import parse_addresses
from tests.conftest import ROOT
from tests.k8s_jobs import IMAGE, JOBS, job_objects, named, of_kind, steps, template, variables
from tests.k8s_rendered import K8S, OVERLAYS, kustomize, rendered
from tests.test_k8s_schemas import RELEASES

Document = dict[str, Any]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MASTER, WORKERS, MEASURE = ("load", "load-master"), ("load", "load-workers"), ("measure", "measure")
ALL = [MASTER, WORKERS, MEASURE]


def job_of(which: tuple[str, str]) -> Document:
    return named(job_objects(which[0]), "Job", which[1])


def labels(which: tuple[str, str]) -> Document:
    found: Document = template(job_of(which))["metadata"]["labels"]
    return found


def chosen(selector: Document, of: Document) -> bool:
    """Whether a label selector picks these labels."""
    words = all(of.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return words and all(of.get(item["key"]) in item["values"] for item in selector.get("matchExpressions", []))


def server_labels(overlay: str) -> Document:
    (deployment,) = of_kind(rendered(overlay), "Deployment")
    found: Document = deployment["spec"]["template"]["metadata"]["labels"]
    return found


def test_every_job_of_the_folder_is_looked_at() -> None:
    found = {(job, item["metadata"]["name"]) for job in JOBS for item in of_kind(job_objects(job), "Job")}
    assert found == set(ALL)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("job", JOBS)
def test_objects_are_valid_in_every_kept_release(job: str, release: str) -> None:
    for item in job_objects(job):
        assert kubernetes_validate.validate(item, release, strict=True) == release
        assert item["metadata"]["namespace"] == "loadproof"


@pytest.mark.parametrize("which", ALL)
def test_the_image_is_the_load_generators_of_this_version(which: tuple[str, str]) -> None:
    assert {step["image"] for step in steps(job_of(which))} == {f"{IMAGE}:{VERSION}"}


@pytest.mark.parametrize("job", JOBS)
def test_one_place_says_where_the_images_of_all_jobs_are(job: str, tmp_path: Path) -> None:
    tree = tmp_path / "k8s"
    shutil.copytree(K8S, tree)
    place = tree / "components" / "images" / "kustomization.yaml"
    text = place.read_text()
    assert text.count("newName: loadproof/") == 1
    place.write_text(text.replace("newName: ", "newName: registry.example:5000/team/"))
    result = kustomize(tree / "jobs" / job)
    assert result.returncode == 0, result.stderr
    pods = [item for item in yaml.safe_load_all(result.stdout) if item["kind"] == "Job"]
    images = {step["image"] for item in pods for step in steps(item)}
    assert images == {f"registry.example:5000/team/{IMAGE}:{VERSION}"}


@pytest.mark.parametrize("which", ALL)
def test_pods_pass_the_restricted_pod_security_standard(which: tuple[str, str]) -> None:
    spec = template(job_of(which))["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    account = named(job_objects(which[0]), "ServiceAccount", spec["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    for step in steps(job_of(which)):
        assert step["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("which", ALL)
def test_a_load_generator_has_cores_of_its_own(which: tuple[str, str]) -> None:
    for step in steps(job_of(which)):
        limits = step["resources"]["limits"]
        assert step["resources"]["requests"] == limits
        assert limits.keys() == {"cpu", "memory", "ephemeral-storage"}
        assert re.fullmatch(r"\d+", limits["cpu"]), "a part of a core is throttled, and every send late"


@pytest.mark.parametrize("which", ALL)
def test_a_job_runs_once_ends_by_itself_and_is_cleared_away(which: tuple[str, str]) -> None:
    spec = job_of(which)["spec"]
    assert (spec.get("backoffLimit"), spec.get("backoffLimitPerIndex")) in ((0, None), (None, 0))
    assert template(job_of(which))["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > 0 and spec["ttlSecondsAfterFinished"] >= 86400


@pytest.mark.parametrize("which", ALL)
def test_every_volume_is_there_and_only_empty_ones_and_claims_are_written(which: tuple[str, str]) -> None:
    volumes = {item["name"]: item for item in template(job_of(which))["spec"]["volumes"]}
    claims = {item["metadata"]["name"] for item in of_kind(job_objects(which[0]), "PersistentVolumeClaim")}
    for step in steps(job_of(which)):
        assert {item["name"] for item in step["volumeMounts"]} == set(volumes)
        written = {item["mountPath"] for item in step["volumeMounts"] if not item.get("readOnly")}
        assert written <= {"/tmp", "/workspace", "/workspace/results", "/workspace/reports"}
    for item in volumes.values():
        assert "emptyDir" in item or item["persistentVolumeClaim"]["claimName"] in {*claims, "model-store"}


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if "model-store" in str(rendered(name))])
def test_the_store_that_a_load_reads_is_the_servers(overlay: str) -> None:
    assert named(rendered(overlay), "PersistentVolumeClaim", "model-store")


@pytest.mark.parametrize("which", [MASTER, MEASURE])
def test_every_setting_is_used_and_every_variable_is_set(which: tuple[str, str]) -> None:
    objects, used = job_objects(which[0]), set[str]()
    for step in steps(job_of(which)):
        words = set(re.findall(r"\$\((\w+)\)", " ".join(step["args"])))
        assert words <= variables(objects, step).keys()
        used |= words
    settings = {key for item in of_kind(objects, "ConfigMap") for key in item["data"]}
    assert used == settings


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("which", ALL)
def test_the_servers_admit_the_load_and_nobody_admits_it_elsewhere(which: tuple[str, str], overlay: str) -> None:
    admitting = [
        rule
        for policy in of_kind(rendered(overlay), "NetworkPolicy")
        if chosen(policy["spec"]["podSelector"], server_labels(overlay))
        for rule in policy["spec"]["ingress"]
        if any(chosen(peer.get("podSelector", {"matchLabels": {"": ""}}), labels(which)) for peer in rule["from"])
    ]
    assert len(admitting) == 1
    egress = [
        peer
        for policy in of_kind(job_objects(which[0]), "NetworkPolicy")
        if chosen(policy["spec"]["podSelector"], labels(which)) and "Egress" in policy["spec"]["policyTypes"]
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
    ]
    assert any(chosen(peer["podSelector"], server_labels(overlay)) for peer in egress)
    assert all(peer.keys() == {"podSelector"} for peer in egress), "only pods of this namespace may be loaded"


@pytest.mark.parametrize("which", ALL)
def test_what_is_asked_without_a_peer_is_names_alone(which: tuple[str, str]) -> None:
    open_rules = [
        port["port"]
        for policy in of_kind(job_objects(which[0]), "NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        if "to" not in rule
        for port in rule["ports"]
    ]
    assert set(open_rules) == {53}


def test_the_workers_find_the_master_and_nobody_else_does() -> None:
    objects = job_objects("load")
    (worker,) = steps(job_of(WORKERS))
    host = next(word.partition("=")[2] for word in worker["args"] if word.startswith("--master="))
    port = next(int(word.partition("=")[2]) for word in worker["args"] if word.startswith("--port="))
    service = named(objects, "Service", host)["spec"]
    assert service["selector"].items() <= labels(MASTER).items()
    assert not service["selector"].items() <= labels(WORKERS).items()
    # The master loads in an init container: its pod is not ready meanwhile, and its ports have no names.
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"]
    assert [(item["port"], item["targetPort"]) for item in service["ports"]] == [(port, port)]
    (load,) = (step for step in steps(job_of(MASTER)) if step["name"] == "load")
    assert f"--port={port}" in load["args"] and [item["containerPort"] for item in load["ports"]] == [port]
    policy = named(objects, "NetworkPolicy", "load-master")["spec"]
    assert chosen(policy["podSelector"], labels(MASTER)) and not chosen(policy["podSelector"], labels(WORKERS))
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": port}]
    assert all(chosen(peer["podSelector"], labels(WORKERS)) for peer in rule["from"])
    reach = [
        rule
        for rule in named(objects, "NetworkPolicy", "load")["spec"]["egress"]
        if rule.get("ports") == [{"port": port}]
    ]
    assert len(reach) == 1 and chosen(reach[0]["to"][0]["podSelector"], labels(MASTER))


def test_there_are_as_many_workers_as_the_master_waits_for() -> None:
    spec = job_of(WORKERS)["spec"]
    (settings,) = (item["data"] for item in of_kind(job_objects("load"), "ConfigMap"))
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] == int(settings["WORKERS"])


@pytest.mark.parametrize("job", JOBS)
def test_the_address_that_is_asked_is_a_service_of_an_overlay_with_its_ports(job: str) -> None:
    (server,) = (item["data"]["SERVER"] for item in of_kind(job_objects(job), "ConfigMap") if "SERVER" in item["data"])
    engine, usual = attach.engine_of(server)
    host, ports = parse_addresses(server, usual)
    service = named(rendered("cpu"), "Service", host)
    (deployment,) = of_kind(rendered("cpu"), "Deployment")
    opened = {
        item["name"]: item["containerPort"] for item in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": engine}
    assert ports == opened


def test_a_job_that_is_applied_with_its_servers_waits_for_them_and_not_for_ever() -> None:
    (wait,) = (word for word in steps(job_of(MEASURE))[0]["args"] if word.startswith("--wait-s="))
    (deployment,) = of_kind(rendered("cpu"), "Deployment")
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    start_s = server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"]
    assert start_s < float(wait.partition("=")[2]) < job_of(MEASURE)["spec"]["activeDeadlineSeconds"]


def test_one_pod_alone_is_measured_and_a_load_is_for_all_of_them() -> None:
    measured = [word for step in steps(job_of(MEASURE)) for word in step["args"]]
    loaded = [word for step in steps(job_of(MASTER)) for word in step["args"]]
    assert "--one-pod" in measured and "--one-pod" not in loaded
    (settings,) = (item["data"] for item in of_kind(job_objects("measure"), "ConfigMap") if "SERVER" in item["data"])
    headless = parse_addresses(settings["SERVER"], TRITON_PORTS)[0]
    assert named(rendered("cpu"), "Service", headless)["spec"]["clusterIP"] == "None"


def test_a_load_says_twice_whom_it_may_hurt() -> None:
    (settings,) = (item["data"] for item in of_kind(job_objects("load"), "ConfigMap"))
    assert parse_addresses(settings["SERVER"], TRITON_PORTS)[0] == settings["ALLOW_HOST"]
    assert float(settings["MAX_RPS"]) > 0


@pytest.mark.parametrize("job", JOBS)
def test_an_overlay_that_serves_does_not_load_itself(job: str) -> None:
    """Who applies a deployment again does not want to put it under load."""
    ours = {(item["kind"], item["metadata"]["name"]) for item in job_objects(job)}
    theirs = {(item["kind"], item["metadata"]["name"]) for overlay in OVERLAYS for item in rendered(overlay)}
    assert ours & theirs == set()


def test_a_measured_overlay_says_its_device(tmp_path: Path) -> None:
    """What `serving deploy --unmeasured` writes: an overlay that lists the component and gives it its two settings."""
    here = os.path.relpath(K8S, tmp_path)
    literals = ["DEVICE=gpu:NVIDIA-L4", "SERVER=http://triton-headless:8000,grpc://triton-headless:8001"]
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "loadproof",
        "resources": [f"{here}/overlays/gpu"],
        "components": [f"{here}/components/measure"],
        "configMapGenerator": [{"name": "measure", "literals": literals}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    result = kustomize(tmp_path)
    assert result.returncode == 0, result.stderr
    objects = list(yaml.safe_load_all(result.stdout))
    prove = steps(named(objects, "Job", "measure"))[0]
    found = variables(objects, prove)
    assert (found["DEVICE"], found["MODEL"]) == ("gpu:NVIDIA-L4", "sentiment_torch__onnx")
