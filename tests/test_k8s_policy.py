"""What an overlay promises beyond its schema: no moving tags, probes, limits, rights, and parts that fit each other."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from serving.layout.releases import FIRST_WITHOUT_KNOWN_FLAWS, parse
from serving.tfserving import flags as tfserving_flags
from tests.k8s_rendered import K8S, OVERLAYS, RULES, deployment, flags, grace_s, of_kind, pod, rendered, server

Document = dict[str, Any]
UNITS = {"Mi": 2**20, "Gi": 2**30}
CLEAN_UP_S = 10  # from the end of Triton's exit timeout to SIGKILL: the models are let go
GPU = [name for name in OVERLAYS if name.startswith("gpu")]


def containers(overlay: str) -> list[Document]:
    return [*pod(overlay).get("initContainers", []), *pod(overlay)["containers"]]


def labels(overlay: str) -> Document:
    found: Document = deployment(overlay)["spec"]["template"]["metadata"]["labels"]
    return found


def ports(overlay: str) -> dict[str, int]:
    return {item["name"]: item["containerPort"] for item in server(overlay)["ports"]}


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def chosen(selector: Document, of: Document) -> bool:
    return all(of.get(key) == value for key, value in selector["matchLabels"].items())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_version_that_does_not_move(overlay: str) -> None:
    for container in containers(overlay):
        name, _, tag = container["image"].rpartition(":")
        assert name and re.fullmatch(r"\d+\.\d+[\w.-]*", tag), container["image"]


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if "tfserving" not in name])
def test_triton_is_a_release_without_known_flaws(overlay: str) -> None:
    tag = server(overlay)["image"].rpartition(":")[2]
    assert parse(tag.removesuffix("-py3")) >= FIRST_WITHOUT_KNOWN_FLAWS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_pass_the_restricted_pod_security_standard(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    context = pod(overlay)["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod(overlay).keys()
    assert all(volume.keys() & {"configMap", "emptyDir", "persistentVolumeClaim"} for volume in pod(overlay)["volumes"])
    for container in containers(overlay):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_may_ask_nobody_and_has_no_token(overlay: str) -> None:
    assert pod(overlay)["automountServiceAccountToken"] is False
    (account,) = of_kind(overlay, "ServiceAccount")
    assert (account["metadata"]["name"], account["automountServiceAccountToken"]) == (
        pod(overlay)["serviceAccountName"],
        False,
    )
    policies = [item["spec"] for item in of_kind(overlay, "NetworkPolicy")]
    assert all(chosen(policy["podSelector"], labels(overlay)) for policy in policies)
    assert any("Egress" in policy["policyTypes"] for policy in policies)
    assert not any(policy.get("egress") for policy in policies)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_requests_are_limits_so_that_a_pod_has_what_was_measured(overlay: str) -> None:
    for container in containers(overlay):
        resources = container["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= resources["limits"].keys()
        same = {key: value for key, value in resources["limits"].items() if key != "nvidia.com/gpu"}
        assert resources["requests"] == same


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_volumes_fit_into_what_the_pod_may_use(overlay: str) -> None:
    limits = server(overlay)["resources"]["limits"]
    sizes = [volume["emptyDir"] for volume in pod(overlay)["volumes"] if "emptyDir" in volume]
    in_memory = sum(bytes_of(item["sizeLimit"]) for item in sizes if item.get("medium") == "Memory")
    on_disk = sum(bytes_of(item["sizeLimit"]) for item in sizes if item.get("medium") != "Memory")
    assert in_memory < bytes_of(limits["memory"])
    assert on_disk < bytes_of(limits["ephemeral-storage"])


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if "tfserving" not in name])
def test_triton_has_shared_memory_for_its_python_backends(overlay: str) -> None:
    (mount,) = (item for item in server(overlay)["volumeMounts"] if item["mountPath"] == "/dev/shm")
    (volume,) = (item for item in pod(overlay)["volumes"] if item["name"] == mount["name"])
    assert volume["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_ready_when_its_model_is_and_alive_whatever_its_model_is(overlay: str) -> None:
    (model,) = (item["data"]["MODEL"] for item in of_kind(overlay, "ConfigMap") if "MODEL" in item.get("data", {}))
    container = server(overlay)
    assert re.fullmatch(rf"/v[12]/models/{model}/(ready|metadata)", container["readinessProbe"]["httpGet"]["path"])
    alive = container["livenessProbe"]["httpGet"]["path"]
    assert alive in ("/v2/health/live", "/monitoring/prometheus/metrics")
    # A slow load is no restart: the others begin only when the startup probe has passed.
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 600
    assert deployment(overlay)["spec"]["progressDeadlineSeconds"] > 600


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_services_name_ports_that_the_server_has(overlay: str) -> None:
    known = ports(overlay)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        how = server(overlay)[probe]
        assert (how.get("httpGet") or how["tcpSocket"])["port"] in known
    assert len(of_kind(overlay, "Service")) == 2
    for service in of_kind(overlay, "Service"):
        assert service["spec"]["selector"].items() <= labels(overlay).items()
        for port in service["spec"]["ports"]:
            assert (port["name"], port["port"]) == (port["targetPort"], known[port["targetPort"]])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_policies_admit_to_ports_that_the_server_has(overlay: str) -> None:
    admitted = {
        port["port"]
        for item in of_kind(overlay, "NetworkPolicy")
        for rule in item["spec"]["ingress"]
        for port in rule["ports"]
    }
    # One policy of the monitoring is for both servers, so it also names the port of the other.
    assert set(ports(overlay)) <= admitted <= {*ports(overlay), "metrics", "rest"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rollout_keeps_every_pod_until_another_is_ready(overlay: str) -> None:
    spec = deployment(overlay)["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (budget,) = of_kind(overlay, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1 and chosen(budget["spec"]["selector"], labels(overlay))
    (spread,) = pod(overlay)["topologySpreadConstraints"]
    assert chosen(spread["labelSelector"], labels(overlay)) and chosen(spec["selector"], labels(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_outlives_the_connections_that_it_has(overlay: str) -> None:
    before, after = grace_s(overlay)
    settings = flags(overlay)
    assert before >= 3 * int(settings["GRPC_MAX_CONNECTION_AGE_MS"]) / 1000
    assert after >= int(settings.get("EXIT_TIMEOUT_SECS", "0")) + CLEAN_UP_S


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_setting_reaches_the_server_and_every_variable_is_set(overlay: str) -> None:
    container = server(overlay)
    named = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
    given = {*flags(overlay), *(item["name"] for item in container["env"])}
    assert named <= given
    assert set(flags(overlay)) <= named


def test_tf_serving_gets_flags_that_it_knows() -> None:
    settings = {**flags("cpu-tfserving"), "MODEL": "churn"}
    words = [re.sub(r"\$\((\w+)\)", lambda name: settings[name[1]], word) for word in server("cpu-tfserving")["args"]]
    parsed = tfserving_flags.parse(words)
    assert (parsed.model_name, parsed.model_base_path) == ("churn", "/models/churn")
    assert {"rest": parsed.rest_api_port, "grpc": parsed.port} == ports("cpu-tfserving")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_scrapes_a_port_of_the_server(overlay: str) -> None:
    (monitor,) = of_kind(overlay, "PodMonitor")
    assert chosen(monitor["spec"]["selector"], labels(overlay))
    scraped = [item["port"] for item in monitor["spec"]["podMetricsEndpoints"] if item["port"] in ports(overlay)]
    assert len(scraped) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_autoscalers_scale_by_figures_that_the_rules_record(overlay: str) -> None:
    adapter = yaml.safe_load((K8S / "components" / "hpa" / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    served = {rule["name"]["as"]: rule["seriesQuery"].partition("{")[0] for rule in adapter}
    recorded = {
        rule.get("record") for group in yaml.safe_load(RULES.read_text())["spec"]["groups"] for rule in group["rules"]
    }
    assert set(served.values()) <= recorded
    for autoscaler in of_kind(overlay, "HorizontalPodAutoscaler"):
        assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment(overlay)["metadata"]["name"]
        assert {metric["pods"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]} == set(served)
        assert "replicas" not in deployment(overlay)["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_routes_lead_to_ports_that_the_service_has(overlay: str) -> None:
    services = {item["metadata"]["name"]: item["spec"]["ports"] for item in of_kind(overlay, "Service")}
    for route in (*of_kind(overlay, "GRPCRoute"), *of_kind(overlay, "HTTPRoute")):
        scheme = {"GRPCRoute": "grpc", "HTTPRoute": "http"}[route["kind"]]
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert (scheme, backend["port"]) in {(p["name"], p["port"]) for p in services[backend["name"]]}


@pytest.mark.parametrize("overlay", GPU)
def test_a_gpu_pod_has_one_gpu_of_a_product_that_somebody_named(overlay: str) -> None:
    assert server(overlay)["resources"]["limits"]["nvidia.com/gpu"] == 1
    (term,) = pod(overlay)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert [item["key"] for item in term["matchExpressions"]] == ["nvidia.com/gpu.product"]


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name not in GPU])
def test_a_cpu_pod_asks_for_no_gpu(overlay: str) -> None:
    assert "nvidia.com" not in str(rendered(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_was_not_measured_says_so(overlay: str) -> None:
    for item in (deployment(overlay), *of_kind(overlay, "HorizontalPodAutoscaler")):
        assert item["metadata"]["annotations"]["loadproof/measured"] == "no"
