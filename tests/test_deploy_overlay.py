"""What is deployed is what was measured: rendered by the pinned kubectl, valid in every release, under every policy."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serving.deploying.kustomization import MEASURED_AT
from serving.deploying.manifest_text import to_yaml
from serving.deploying.overlay import GENERATED
from serving.deploying.plan import BASE_CORES
from serving.deploying.sizing import NODES_THAT_FAIL, SHM_MIB
from serving.tfserving import flags as tfserving_flags
from tests import test_k8s_policy as policy
from tests.builders import MACHINE
from tests.deployments import FIXED, ON_CPU, ON_TFSERVING, STAND_IN, TARGET, UNBATCHED, UNMEASURED, Site, site
from tests.k8s_rendered import K8S, deployment, flags, of_kind, pod, rendered, server
from tests.test_k8s_schemas import CUSTOM, RELEASES

BATCHED = UNBATCHED.model_copy(update={"max_batch_size": 32, "max_queue_delay_us": 0})
CPU, GPU, TFSERVING = "cpu", "gpu", "tfserving"
WAYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    CPU: (ON_CPU, ["--fixed"]),
    GPU: ({}, []),
    TFSERVING: (ON_TFSERVING, []),
}
# Which of the overlays that people write have a policy of their own.
ONLY = {
    "test_triton_is_a_release_without_known_flaws": {CPU, GPU},
    "test_triton_has_shared_memory_for_its_python_backends": {CPU, GPU},
    "test_a_gpu_pod_has_one_gpu_of_a_product_that_somebody_named": {GPU},
    "test_a_cpu_pod_asks_for_no_gpu": {CPU, TFSERVING},
    "test_what_was_not_measured_says_so": set(),
}
POLICIES: dict[str, Callable[[str], None]] = {
    name: function
    for name, function in vars(policy).items()
    if name.startswith("test_") and list(inspect.signature(function).parameters) == ["overlay"]
}


@dataclass(frozen=True)
class Deployed:
    """An overlay that was written, by the path that the readers of overlays take."""

    site: Site
    folder: Path

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = deployment(self.name)["metadata"]["annotations"]
        return {key.removeprefix("loadproof/"): value for key, value in found.items()}

    def data(self, name: str) -> dict[str, str]:
        """Of the ConfigMap, whose name ends in a hash."""
        maps = {item["metadata"]["name"]: item["data"] for item in of_kind(self.name, "ConfigMap")}
        (found,) = (data for full, data in maps.items() if re.fullmatch(rf"{name}-[a-z0-9]{{10}}", full))
        return dict(found)


def deployed(folder: Path, *words: str, fields: dict[str, Any] | None = None, **model: Any) -> Deployed:
    place = site(folder, **model)
    place.reports(**(fields or {}))
    return Deployed(place, place.overlay(*words))


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Deployed]:
    fields, words = WAYS[request.param]
    return request.param, deployed(tmp_path_factory.mktemp(request.param), *words, fields=fields)


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return deployed(tmp_path_factory.mktemp("gpu"))


def validated(overlay: str, release: str) -> None:
    for item in rendered(overlay):
        if item["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(item, release, strict=True) == release


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_strictly_valid_in_every_kept_release(way: tuple[str, Deployed], release: str) -> None:
    validated(way[1].name, release)


@pytest.mark.parametrize("rule", POLICIES)
def test_every_policy_of_the_written_overlays_holds_of_the_generated_ones(way: tuple[str, Deployed], rule: str) -> None:
    name, overlay = way
    if name in ONLY.get(rule, {CPU, GPU, TFSERVING}):
        POLICIES[rule](overlay.name)


def test_everything_is_in_the_namespace(way: tuple[str, Deployed]) -> None:
    found = {item["metadata"].get("namespace") for item in rendered(way[1].name) if item["kind"] != "Namespace"}
    assert found == {"loadproof"}


def test_pods_are_as_many_and_as_large_as_the_report_sizes_them(gpu: Deployed) -> None:
    (scaler,) = of_kind(gpu.name, "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (4, 8)
    thresholds = {
        item["pods"]["metric"]["name"]: item["pods"]["target"]["averageValue"] for item in scaler["spec"]["metrics"]
    }
    assert thresholds == {"triton_queue_us": "830", "triton_pending_requests": "32"}
    limits = server(gpu.name)["resources"]["limits"]
    assert (limits["cpu"], limits["memory"], limits["nvidia.com/gpu"]) == ("2", "2304Mi", 1)
    (init,) = pod(gpu.name)["initContainers"]
    assert init["resources"]["limits"]["ephemeral-storage"] == limits["ephemeral-storage"] == "3Gi"


def test_a_fixed_number_of_pods_is_the_deployments_own(tmp_path: Path) -> None:
    for engine, fields in ((CPU, ON_CPU), (TFSERVING, ON_TFSERVING)):
        overlay = deployed(tmp_path / engine, "--fixed", fields=fields).name
        assert deployment(overlay)["spec"]["replicas"] == 4
        assert of_kind(overlay, "HorizontalPodAutoscaler") == []


def test_the_pod_goes_where_the_product_is_that_was_measured(gpu: Deployed) -> None:
    affinity = pod(gpu.name)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = affinity["nodeSelectorTerms"][0]["matchExpressions"]
    assert expression["values"] == ["NVIDIA-L4"]


def test_the_spare_pod_is_for_the_one_that_the_disruption_budget_takes(way: tuple[str, Deployed]) -> None:
    (budget,) = of_kind(way[1].name, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == NODES_THAT_FAIL


def test_memory_has_room_for_the_shared_memory_that_the_base_mounts(gpu: Deployed) -> None:
    (volume,) = (item["emptyDir"] for item in pod(gpu.name)["volumes"] if item["name"] == "shm")
    assert policy.bytes_of(volume["sizeLimit"]) == SHM_MIB * 2**20


def test_the_annotations_say_where_the_numbers_come_from(gpu: Deployed) -> None:
    assert gpu.annotations == {
        "measured": "yes",
        "report": "20260131-120000",
        "variant": "words__onnx__triton__grpc",
        "artifact-sha256": gpu.site.shas["onnx"],
        "release": TARGET,
        "device": "gpu:NVIDIA L4",
        "max-rps": "96",
        "p99-ms": "41.2",
        "objectives": "rate 200, p99_ms 50, error_rate 0.001",
        "rate": "200",
        "headroom": "0.3",
        "warnings": "none",
    }
    (scaler,) = of_kind(gpu.name, "HorizontalPodAutoscaler")
    assert scaler["metadata"]["annotations"] == deployment(gpu.name)["metadata"]["annotations"]


def test_what_could_mislead_is_written_onto_the_deployment(tmp_path: Path) -> None:
    place = site(tmp_path)
    shared = "The load generator and the servers share the 2 cores of one machine."
    place.reports(whole={"warnings": [shared], "resident": ["words", "images"]}, **ON_CPU)
    said = Deployed(place, place.overlay()).annotations["warnings"]
    assert shared in said and "2 models together: an upper bound" in said and "Sized on A processor" in said


def test_a_machine_that_nobody_told_bounds_no_cores_and_names_no_processor(tmp_path: Path) -> None:
    place = site(tmp_path)
    place.reports(whole={"machine": None}, **{**ON_CPU, "server_cores": 5.2})
    overlay = Deployed(place, place.overlay())
    assert server(overlay.name)["resources"]["limits"]["cpu"] == "7"
    assert "Sized on a node whose processor nobody told" in overlay.annotations["warnings"]
    assert "cores that were there" not in overlay.annotations["warnings"]


def test_a_rate_whose_limit_nobody_met_scales_nothing_and_fewer_cores_are_told(tmp_path: Path) -> None:
    place = site(tmp_path)
    machine = MACHINE.model_copy(update={"cores": 16})
    place.reports(whole={"machine": machine}, limited_by="load generator")
    overlay = Deployed(place, place.overlay())
    assert of_kind(overlay.name, "HorizontalPodAutoscaler") == []
    assert deployment(overlay.name)["spec"]["replicas"] == 4
    assert overlay.annotations["warnings"] == (
        "A pod gets 2 of the 16 cores that were there when it was measured. The load generator was the limit: "
        "a pod may hold more, and no queue time tells when to add one."
    )


def test_the_sums_are_those_of_the_files_that_were_laid_out(way: tuple[str, Deployed]) -> None:
    overlay = way[1]
    model = overlay.data("model")
    tree = "tfserving" if way[0] == TFSERVING else "triton"
    root = overlay.site.root / "model_repository" / tree
    listed = {path: digest for digest, _, path in (line.partition("  ") for line in model["SHA256SUMS"].splitlines())}
    files = [file for file in (root / model["MODEL"]).rglob("*") if file.is_file()]
    assert listed == {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def test_the_line_of_a_single_file_is_the_artifact_of_the_report(gpu: Deployed) -> None:
    assert f"{gpu.annotations['artifact-sha256']}  words__onnx/1/model.onnx\n" in gpu.data("model")["SHA256SUMS"]


@pytest.mark.parametrize(
    ("fields", "words", "image"),
    [
        (ON_CPU, [], "nvcr.io/nvidia/tritonserver:26.08-py3"),
        (ON_CPU, ["--image", "registry.example:5000/triton:26.08"], "registry.example:5000/triton:26.08"),
        (ON_CPU, ["--image", f"triton@sha256:{'0' * 64}"], f"triton@sha256:{'0' * 64}"),
        (ON_CPU, ["--image", f"triton:26.08-py3@sha256:{'0' * 64}"], f"triton@sha256:{'0' * 64}"),
        ({**ON_TFSERVING, "engine_version": "2.19.1"}, [], "tensorflow/serving:2.19.1"),
        ({**ON_TFSERVING, "device": "gpu:NVIDIA L4"}, [], "tensorflow/serving:2.20.0-gpu"),
    ],
)
def test_the_server_and_the_check_run_in_the_image_that_was_measured(
    tmp_path: Path, fields: dict[str, Any], words: list[str], image: str
) -> None:
    overlay = deployed(tmp_path, *words, fields=fields).name
    assert {item["image"] for item in (*pod(overlay)["initContainers"], server(overlay))} == {image}


def test_a_report_without_the_hash_of_config_pbtxt_is_deployed_with_a_warning(tmp_path: Path) -> None:
    place = site(tmp_path)
    older = place.configurations["onnx"].model_copy(update={"config_sha256": None})
    place.reports(configuration=older)
    assert "older than the hash of config.pbtxt" in Deployed(place, place.overlay()).annotations["warnings"]


def test_a_slow_load_is_granted_ten_times_its_time(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, fields={"load_to_ready_s": 123.0}).name
    probe = server(overlay)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1230
    assert deployment(overlay)["spec"]["progressDeadlineSeconds"] > 1230


def test_tf_serving_joins_requests_as_it_did_when_it_was_measured(tmp_path: Path) -> None:
    place = site(tmp_path)
    models = place.root / "models.toml"
    models.write_text(
        models.read_text().replace(
            '{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }', str(as_toml(FIXED.model_dump()))
        )
    )
    place.reports(**{**ON_TFSERVING, "configuration": BATCHED})
    overlay = Deployed(place, place.overlay())
    settings = {**flags(overlay.name), "MODEL": "words"}
    words = [tfserving_word(word, settings) for word in server(overlay.name)["args"]]
    parsed = tfserving_flags.parse(words)
    assert parsed.enable_batching and parsed.batching_parameters_file == "/etc/tfserving/batching.config"
    config = overlay.data("tfserving-config")
    assert "max_batch_size { value: 32 }" in config["batching.config"]
    assert "num_batch_threads { value: 2 }" in config["batching.config"]  # the pod's cores
    assert "monitoring.config" in config
    (volume,) = (item for item in pod(overlay.name)["volumes"] if item["name"] == "config")
    assert volume["configMap"]["name"].startswith("tfserving-config-")


def as_toml(table: dict[str, Any]) -> str:
    return f"{{ name = '{table['name']}', dtype = '{table['dtype']}', dims = {table['dims']} }}"


def tfserving_word(word: str, settings: dict[str, str]) -> str:
    for name, value in settings.items():
        word = word.replace(f"$({name})", value)
    return word


def test_tf_serving_that_did_not_join_is_not_told_to(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, fields=ON_TFSERVING)
    assert not [word for word in server(overlay.name)["args"] if "batching" in word]
    assert flags(overlay.name)["INTRA_OP_THREADS"] == "1"


@pytest.mark.parametrize(("used", "cores"), [(1.31, "2"), (5.2, "7"), (None, str(BASE_CORES))])
def test_tf_serving_runs_requests_side_by_side_on_every_core_that_the_pod_gets(
    tmp_path: Path, used: float | None, cores: str
) -> None:
    place = site(tmp_path)
    machine = MACHINE.model_copy(update={"cores": 16})
    place.reports(whole={"machine": machine}, **{**ON_TFSERVING, "server_cores": used})
    overlay = place.overlay()
    assert server(str(overlay))["resources"]["limits"]["cpu"] == flags(str(overlay))["INTER_OP_THREADS"] == cores


def test_what_the_cluster_has_already_is_left_alone_and_found_where_it_is(tmp_path: Path) -> None:
    words = ["--without", "namespace", "--namespace", "ml", "--prometheus-namespace", "watching"]
    overlay = deployed(tmp_path, *words, "--pull-secret", "registry", fields=ON_CPU).name
    validated(overlay, RELEASES[-1])
    assert of_kind(overlay, "Namespace") == []
    assert {item["metadata"]["namespace"] for item in rendered(overlay)} == {"ml"}
    (policy_of_prometheus,) = (
        item for item in of_kind(overlay, "NetworkPolicy") if item["metadata"]["name"] == "loadproof-monitoring"
    )
    (peer,) = policy_of_prometheus["spec"]["ingress"][0]["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "watching"}
    assert [item["imagePullSecrets"] for item in of_kind(overlay, "ServiceAccount")] == [[{"name": "registry"}]]


def test_a_secret_for_the_registry_is_the_jobs_too(tmp_path: Path) -> None:
    words = [*UNMEASURED, "--replicas", "1", "--fixed", "--pull-secret", "registry"]
    accounts = of_kind(deployed(tmp_path, *words, fields=ON_CPU).name, "ServiceAccount")
    assert {item["metadata"]["name"]: item["imagePullSecrets"] for item in accounts} == {
        name: [{"name": "registry"}] for name in ("triton", "measure")
    }


def test_cores_that_nobody_measured_are_the_bases(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, fields={**ON_TFSERVING, "server_cores": None, "server_mib": None})
    base = yaml.safe_load((K8S / "base" / "tfserving" / "deployment.yaml").read_text())
    (container,) = base["spec"]["template"]["spec"]["containers"]
    given = server(overlay.name)["resources"]["limits"]
    assert {key: given[key] for key in ("cpu", "memory")} == {
        key: container["resources"]["limits"][key] for key in ("cpu", "memory")
    }
    assert given["cpu"] == str(BASE_CORES)
    assert overlay.annotations["resources"] == "base"


ON_L4 = [*UNMEASURED, "--device", "gpu:NVIDIA-L4"]


def test_an_unmeasured_deployment_is_refused_by_the_cluster_until_somebody_says_how_many(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, *ON_L4, fields=STAND_IN).name
    (scaler,) = of_kind(overlay, "HorizontalPodAutoscaler")
    assert scaler["spec"]["minReplicas"] == "REQUIRED: measure, then give --replicas"
    thresholds = [item["pods"]["target"]["averageValue"] for item in scaler["spec"]["metrics"]]
    assert thresholds == ["REQUIRED: measure, then give --queue-us"] * 2
    with pytest.raises(kubernetes_validate.ValidationError, match="--replicas"):
        kubernetes_validate.validate(scaler, RELEASES[-1], strict=True)
    fixed = deployed(tmp_path / "fixed", *ON_L4, "--fixed", fields=STAND_IN).name
    with pytest.raises(kubernetes_validate.ValidationError, match="--replicas"):
        kubernetes_validate.validate(deployment(fixed), RELEASES[-1], strict=True)


def test_an_unmeasured_deployment_says_so_and_brings_the_job_that_measures(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, *ON_L4, "--replicas", "1", "--fixed", fields=STAND_IN)
    for release in RELEASES:
        validated(overlay.name, release)
    said = overlay.annotations
    assert said["measured"] == "no" and not {"max-rps", "rate", "headroom"} & said.keys()
    assert (
        "stand-in" in said["unmeasured-because"]
        and "measured on cpu, and is to run on gpu" in said["unmeasured-because"]
    )
    assert deployment(overlay.name)["spec"]["replicas"] == 1
    (job,) = of_kind(overlay.name, "Job")
    assert job["metadata"]["name"] == "measure"
    told = overlay.data("measure")
    assert (told["DEVICE"], told["SERVER"]) == ("gpu:NVIDIA-L4", MEASURED_AT["triton"])


def test_numbers_that_a_person_says_make_an_unmeasured_deployment_valid(tmp_path: Path) -> None:
    overlay = deployed(tmp_path, *ON_L4, "--replicas", "3", "--queue-us", "900", fields=STAND_IN).name
    validated(overlay, RELEASES[-1])
    (scaler,) = of_kind(overlay, "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["metadata"]["annotations"]["loadproof/measured"]) == (3, "no")


def test_an_unmeasured_tf_serving_is_the_bases_and_is_measured_at_its_own_ports(tmp_path: Path) -> None:
    fields = {**ON_TFSERVING, "max_rps": None}
    overlay = deployed(tmp_path, *UNMEASURED, "--replicas", "1", fields=fields)
    services = {item["metadata"]["name"]: item for item in of_kind(overlay.name, "Service")}
    ports = {item["name"]: item["containerPort"] for item in server(overlay.name)["ports"]}
    for address in overlay.data("measure")["SERVER"].split(","):
        scheme, host, port = address.replace("//", "").split(":")
        assert services[host]["spec"]["clusterIP"] == "None", "it gives pods' own addresses, and their own ports"
        assert {**ports, **of_usage(overlay.name)}[scheme] == int(port)


@pytest.mark.parametrize(("device", "flavour"), [("cpu", ""), ("gpu:NVIDIA-L4", "-gpu")])
def test_a_tf_serving_that_is_to_be_measured_on_a_gpu_can_use_one(tmp_path: Path, device: str, flavour: str) -> None:
    words = [*UNMEASURED, "--device", device, "--replicas", "1"]
    overlay = deployed(tmp_path, *words, fields={**ON_TFSERVING, "max_rps": None})
    assert server(overlay.name)["image"] == f"tensorflow/serving:2.20.0{flavour}"


@pytest.mark.parametrize("fields", [STAND_IN, {**ON_TFSERVING, "max_rps": None}], ids=["triton", "tfserving"])
def test_what_the_server_uses_is_told_beside_it_while_it_is_measured_and_not_afterwards(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    overlay = deployed(tmp_path, *UNMEASURED, "--device", "cpu", "--replicas", "1", "--fixed", fields=fields).name
    (sidecar,) = (item for item in pod(overlay)["initContainers"] if item["name"] == "usage")
    assert pod(overlay)["shareProcessNamespace"] is True and sidecar["restartPolicy"] == "Always"
    assert (server(overlay).get("command") or server(overlay)["args"])[0] in sidecar["args"], "its process is sought"
    policy.test_requests_are_limits_so_that_a_pod_has_what_was_measured(overlay)
    policy.test_pods_pass_the_restricted_pod_security_standard(overlay)
    assert server(overlay)["resources"]["limits"]["cpu"].isdigit(), "its cores stay its own"
    asked = [
        rule
        for item in of_kind(overlay, "NetworkPolicy")
        if item["spec"]["podSelector"]["matchLabels"].items() <= policy.labels(overlay).items()
        for rule in item["spec"].get("ingress", [])
        if {"port": of_usage(overlay)["usage"]} in rule["ports"]
    ]
    (job,) = of_kind(overlay, "Job")
    (peer,) = (peer["podSelector"]["matchLabels"] for rule in asked for peer in rule["from"])
    assert peer.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    afterwards = deployed(tmp_path / "measured", fields=ON_CPU).name
    assert "shareProcessNamespace" not in pod(afterwards) and len(pod(afterwards)["initContainers"]) == 1


def of_usage(overlay: str) -> dict[str, int]:
    """The port of what tells beside the server what it uses."""
    (sidecar,) = (item for item in pod(overlay)["initContainers"] if item["name"] == "usage")
    (opened,) = sidecar["ports"]
    assert f"--port={opened['containerPort']}" in sidecar["args"]
    return {"usage": opened["containerPort"]}


def test_every_string_is_read_back_as_a_string() -> None:
    texts = ["yes", "no", "on", "1e5", "0o17", "26.08", "20260131-120000", "null", "~", "a: b", "# x", "two\nlines\n"]
    assert yaml.safe_load(to_yaml(dict.fromkeys(texts, "x"))).keys() == set(texts)
    assert yaml.safe_load(to_yaml({"values": texts}))["values"] == texts
    assert '"1e5"' in to_yaml({"value": "1e5"}), "Go's parser takes it for a number, PyYAML's does not"


def test_every_file_says_that_it_is_generated(gpu: Deployed) -> None:
    documents = sorted(gpu.folder.rglob("*.yaml"))
    assert len(documents) == 5
    assert all(file.read_text().startswith(GENERATED) for file in documents)
