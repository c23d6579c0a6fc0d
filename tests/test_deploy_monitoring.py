"""A deployed model is watched by what its own models.toml promises; where nothing watches, nothing scales by it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.errors import UsageError
from contract.slo import Slo
from serving.deploying import kubectl
from serving.deploying.wanted import NAMESPACE
from serving.monitoring.burn_rates import rule_file
from tests.deployments import ON_CPU, ON_TFSERVING, UNMEASURED, Site, site
from tests.k8s_api_server import cluster
from tests.k8s_rendered import of_kind, promtool, rendered

MONITORED = {"PodMonitor", "PrometheusRule"}
PROMISED = Slo(p99_ms=75.0)


def promising(folder: Path, **fields: Any) -> Site:
    """A model with an objective that no models.toml of this project has."""
    place = site(folder, slo=PROMISED)
    place.reports(objectives=PROMISED.figures(), **fields)
    models = place.root / "models.toml"
    models.write_text(f"{models.read_text()}slo = {{ p99_ms = 75.0 }}\n")
    return place


def kinds(folder: Path) -> set[str]:
    return {item["kind"] for item in rendered(str(folder))}


@pytest.mark.parametrize("fields", [ON_CPU, ON_TFSERVING], ids=["triton", "tfserving"])
def test_the_alerts_are_on_what_is_promised_of_the_deployed_model_and_on_nothing_else(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    (found,) = of_kind(str(promising(tmp_path, **fields).overlay()), "PrometheusRule")
    assert found["spec"] == rule_file({"words": PROMISED}, NAMESPACE)
    assert "answers after 75 ms" in str(found) and "sentiment" not in str(found)


def test_the_alerts_are_on_the_pods_of_the_namespace_that_is_deployed_into(tmp_path: Path) -> None:
    (found,) = of_kind(str(promising(tmp_path, **ON_CPU).overlay("--namespace", "live")), "PrometheusRule")
    assert found["spec"] == rule_file({"words": PROMISED}, "live")


def test_prometheus_takes_the_rules_of_a_deployment(tmp_path: Path) -> None:
    (found,) = of_kind(str(promising(tmp_path, **ON_CPU).overlay()), "PrometheusRule")
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(found["spec"]))
    checked = subprocess.run(
        [promtool(), "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_without_monitoring_there_is_nothing_that_needs_its_operator_and_the_number_of_pods_is_fixed(
    tmp_path: Path,
) -> None:
    place = promising(tmp_path, **ON_CPU)
    watched = kinds(place.overlay())
    assert watched >= {*MONITORED, "HorizontalPodAutoscaler"}
    folder = place.overlay("--without", "monitoring")
    objects = list(yaml.safe_load_all(kubectl.kustomize(folder)))
    assert not {item["kind"] for item in objects} & {*MONITORED, "HorizontalPodAutoscaler"}
    (server,) = (item for item in objects if item["kind"] == "Deployment")
    assert server["spec"]["replicas"] == 4
    assert not (folder / "rules.yaml").exists()


def test_unmeasured_without_monitoring_asks_for_no_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = promising(tmp_path, **ON_CPU)
    assert place.deploy(*UNMEASURED, "--without", "monitoring") == 0
    told = capsys.readouterr().out
    assert "required: --replicas\n" in told and "--queue-us" not in told


def test_a_cluster_without_the_operator_is_told_what_to_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = promising(tmp_path, **ON_CPU)
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    with cluster(tmp_path, without="monitoring.coreos.com/v1") as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        apply = [kubectl.program(), "apply", "--validate=false", "-k", str(place.overlay("--without", "monitoring"))]
        subprocess.run(apply, check=True, capture_output=True, timeout=60)
        capsys.readouterr()
        assert place.deploy("--diff", "--without", "monitoring") == 0
        with pytest.raises(UsageError, match=r"knows no PodMonitor: .*or give --without monitoring"):
            place.deploy("--diff")
