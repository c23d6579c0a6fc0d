"""What Prometheus and Grafana of docker/compose.yaml are given: rules of models.toml, servers, the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.slo import Slo
from serving.layout.tfserving_config import MONITORING
from serving.monitoring.burn_rates import document, rule_file
from tests.compose_stack import FILE, ROOT, of_profile, services
from tests.conftest import Command
from tests.k8s_rendered import promtool

OBSERVE = FILE.parent / "observe"
RULES = OBSERVE / "rules.yaml"


def read(name: str) -> Any:
    return yaml.safe_load((OBSERVE / name).read_text(encoding="utf-8"))


def mounted(service: str) -> dict[str, Path]:
    """The files and folders of the repository that a service sees, by their path in it."""
    mounts = [volume.split(":") for volume in services()[service]["volumes"]]
    return {inside: (FILE.parent / outside).resolve() for outside, inside, *_ in mounts if outside.startswith(".")}


def jobs() -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in read("prometheus.yml")["scrape_configs"]}


def test_the_committed_rules_are_those_of_models_toml(command: Command) -> None:
    result = command("serving.monitoring.burn_rates", "--form", "prometheus")
    assert result.returncode == 0, result.stderr
    assert RULES.read_text() == result.stdout, (
        f"run 'python -m serving.monitoring.burn_rates --form prometheus > {RULES}'"
    )


def test_a_cluster_and_a_laptop_have_the_same_rules() -> None:
    slos = {"churn": Slo(p99_ms=50, error_rate=0.001)}
    assert document(slos)["spec"] == rule_file(slos)


def test_an_unknown_form_is_refused_with_those_that_are_known(command: Command) -> None:
    result = command("serving.monitoring.burn_rates", "--form", "grafana")
    assert result.returncode == 2 and "operator" in result.stderr and "prometheus" in result.stderr


def test_promtool_accepts_the_configuration_with_its_rules(tmp_path: Path) -> None:
    text = (OBSERVE / "prometheus.yml").read_text()
    for path, source in mounted("prometheus").items():
        text = text.replace(path, str(source))
    (tmp_path / "prometheus.yml").write_text(text)
    command = [promtool(), "check", "config", str(tmp_path / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert str(RULES) in result.stdout


def test_every_server_is_scraped_at_a_port_that_it_has() -> None:
    for name, job in jobs().items():
        ((host, port),) = (target.split(":") for item in job["static_configs"] for target in item["targets"])
        assert host == name
        for profile in ("cpu", "gpu"):
            (server,) = (item for item in of_profile(profile).values() if _alias(item) == host)
            assert port in {published.rpartition(":")[2] for published in server["ports"]}
    assert jobs().keys() == {_alias(item) for item in of_profile("cpu").values() if "ports" in item}


def _alias(service: dict[str, Any]) -> str | None:
    networks = service["networks"]
    return networks["serving"]["aliases"][0] if isinstance(networks, dict) else None


def test_a_series_has_the_labels_that_rules_and_dashboard_tell_servers_apart_by() -> None:
    for name, job in jobs().items():
        (item,) = job["static_configs"]
        assert item["labels"].keys() == {"namespace", "pod"} and item["labels"]["pod"] == name


def test_tf_serving_is_asked_for_its_metrics_where_its_configuration_puts_them() -> None:
    assert f'path: "{jobs()["tfserving"]["metrics_path"]}"' in MONITORING


def test_four_scrapes_fit_into_the_shortest_rate() -> None:
    seconds = int(read("prometheus.yml")["global"]["scrape_interval"].removesuffix("s"))
    shortest = min(int(minutes) for minutes in re.findall(r"\[(\d+)m\]", RULES.read_text()))
    assert seconds * 4 <= shortest * 60


def test_grafana_is_given_the_dashboard_of_the_cluster_as_it_is() -> None:
    files = mounted("grafana")
    assert files["/etc/grafana/provisioning"] == OBSERVE / "grafana"
    (provider,) = read("grafana/dashboards/loadproof.yaml")["providers"]
    (dashboard,) = (path for path in files if path.startswith(provider["options"]["path"] + "/"))
    assert files[dashboard] == ROOT / "k8s" / "components" / "monitoring" / "loadproof.json"
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == dashboard and json.loads(files[dashboard].read_text())["uid"]


def test_the_dashboard_finds_its_prometheus_without_being_asked() -> None:
    (source,) = read("grafana/datasources/prometheus.yaml")["datasources"]
    assert source["isDefault"] and source["type"] == "prometheus"
    port = services()["prometheus"]["ports"][0].rpartition(":")[2]
    assert source["url"] == f"http://prometheus:{port}"


def test_who_looks_needs_no_password_and_none_is_there_that_everybody_knows() -> None:
    settings = services()["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not {"GF_SECURITY_ADMIN_PASSWORD", "GF_AUTH_ANONYMOUS_ORG_ROLE"} & settings.keys()


@pytest.mark.parametrize("name", sorted(of_profile("observe")))
def test_what_is_kept_between_starts_is_a_volume(name: str) -> None:
    (kept,) = (volume for volume in services()[name]["volumes"] if volume[0] not in "./")
    assert kept.split(":") in (["prometheus", "/prometheus"], ["grafana", "/var/lib/grafana"])
