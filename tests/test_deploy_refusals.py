"""What a report does not size is refused, with a sentence for each reason; what was not proven is, whatever is said."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from contract.batching import Batching
from contract.endpoints import Configuration
from contract.errors import UsageError
from contract.slo import Slo
from serving.deploying.against_report import AGAINST_REPORT
from serving.deploying.against_repository import AGAINST_REPOSITORY
from serving.deploying.case import Case, choose
from serving.deploying.laid_out import LaidOut
from serving.deploying.origin import caveats
from serving.deploying.plan import Plan
from serving.deploying.refusals import NEXT, reasons
from serving.deploying.sizing import measured
from serving.deploying.versions import is_of_release, named_release
from serving.deploying.wanted import Wanted, product, split_image
from tests.deployments import (
    L4,
    LOAD_IMAGE,
    ON_TFSERVING,
    STAND_IN,
    TARGET,
    UNBATCHED,
    VERSION,
    case,
    recommendation,
    recommended,
)

DIGEST = f"sha256:{'0' * 64}"
MEASURED = Configuration(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1)
UNMEASURED: dict[str, Any] = {"unmeasured": True, "load_image": LOAD_IMAGE}
# Fields of the recommended model, of what is wanted, and of the whole recommendation -> what the sentence holds.
LIFTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "a stand-in": (
        {"stand_in_for": "NVIDIA's native onnxruntime backend", "backend_kind": "python"},
        {},
        {},
        "measured on a stand-in; the deployment would run NVIDIA's native onnxruntime backend",
    ),
    "a CPU's figure for a GPU": (
        {"device": "cpu"},
        {"device": "gpu:NVIDIA-L4"},
        {},
        "on cpu, and is to run on gpu:NVI",
    ),
    "another GPU": ({}, {"device": "gpu:NVIDIA-H100-80GB-HBM3"}, {}, f"on {L4}, and is to run on gpu:NVIDIA-H100"),
    "a GPU's figure for a CPU": ({}, {"device": "cpu"}, {}, "and is to run on cpu"),
    "an older server": ({"engine_version": "2.51.0"}, {}, {}, f"Triton 2.51.0, and release {TARGET} is to run"),
    "a server that is not told": ({"engine_version": "unknown"}, {}, {}, "measured on Triton unknown"),
    "another target": ({"engine_version": "2.62.0"}, {"target": "25.10"}, {}, "judged for Triton 26.08, and 25.10 is"),
    "no rate": ({"max_rps": None}, {}, {}, "no rate at which words__onnx__triton__grpc kept its objectives"),
    "other objectives": (
        {"objectives": {"rate": 200.0, "p99_ms": 100.0, "error_rate": 0.001}},
        {},
        {},
        "measured for p99_ms 100, error_rate 0.001, and models.toml promises p99_ms 50, error_rate 0.001",
    ),
    "a TF Serving of no version": (
        {**ON_TFSERVING, "engine_version": "unknown"},
        {},
        {},
        "version 'unknown' was measured: name the image",
    ),
    "another TF Serving": (
        ON_TFSERVING,
        {"image": "registry.example:5000/serving:2.19.1-gpu"},
        {},
        "measured on TF Serving 2.20.0, and 'registry.example:5000/serving:2.19.1-gpu' is to run",
    ),
}
FINAL: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "an embedded engine": (
        {**ON_TFSERVING, "engine_kind": "embedded", "stand_in_for": "TensorFlow Serving"},
        {},
        {},
        "embedded TF Serving, which shows that the protocol works and is never deployed",
    ),
    "somebody else's server": ({"engine": "kserve"}, {}, {}, "server of others (kserve)"),
    "a release with known flaws": (
        {"engine_version": "2.51.0"},
        {"target": "24.10"},
        {"target": "24.10"},
        "Triton 24.10 has published unauthenticated remote flaws",
    ),
    "an image of another release": (
        {},
        {"image": "registry.example:5000/triton:v1-26.07-py3"},
        {},
        "--image is 'registry.example:5000/triton:v1-26.07-py3', of Triton 26.07, and release 26.08 is to run",
    ),
    "an image of a release with known flaws": (
        {},
        {"image": "nvcr.io/nvidia/tritonserver:24.10-py3"},
        {},
        "Triton 24.10 has published unauthenticated remote flaws",
    ),
    "an image of a release with known flaws, pinned by its digest": (
        {},
        {"image": f"nvcr.io/nvidia/tritonserver:24.10-py3@{DIGEST}"},
        {},
        "Triton 24.10 has published unauthenticated remote flaws",
    ),
    "an image of another release, pinned by its digest": (
        {},
        {"image": f"registry.example:5000/triton:26.07-py3@{DIGEST}"},
        {},
        f"--image is 'registry.example:5000/triton:26.07-py3@{DIGEST}', of Triton 26.07, and release 26.08 is to run",
    ),
    "a product that no label can name": (
        {"device": "gpu:Quadro RTX 6000/8000"},
        {},
        {},
        "no node can have the label nvidia.com/gpu.product=Quadro-RTX-6000/8000: give --device gpu: and the value",
    ),
    "a product of too many letters": ({}, {"device": f"gpu:{'N' * 64}"}, {}, f"product={'N' * 64}: give --device"),
    "a device that nobody knows": ({"device": "unknown"}, {}, {}, "does not know its device ('unknown')"),
}


def built(fields: dict[str, Any], wanted: dict[str, Any], whole: dict[str, Any], **flags: Any) -> Case:
    load = {"load_image": LOAD_IMAGE} if flags.get("unmeasured") else {}
    return case(recommended(**fields), Wanted(**({"target": TARGET} | load | wanted | flags)), **whole)


THRESHOLD_OF_TFSERVING = built(ON_TFSERVING, {"queue_us": 900}, {}, unmeasured=True)


def laid(**changes: Any) -> LaidOut:
    """A folder that is what was measured."""
    fields: dict[str, Any] = {
        "folder": Path("/repository/words__onnx"),
        "sums": {},
        "size": 1,
        "artifact_sha256": "a" * 64,
        "configuration": MEASURED,
        "counts_latency": True,
        "joins": False,
        "python_runtime": False,
    }
    return LaidOut(**(fields | changes))


def test_what_was_measured_where_it_is_to_run_is_not_refused() -> None:
    for item in (recommended(), recommended(**ON_TFSERVING)):
        assert reasons(AGAINST_REPORT, False, case(item)) == []
    assert reasons(AGAINST_REPOSITORY, False, case(), laid()) == []


@pytest.mark.parametrize(("fields", "wanted", "whole", "sentence"), LIFTED.values(), ids=LIFTED)
def test_a_report_that_does_not_size_a_deployment_is_refused(
    fields: dict[str, Any], wanted: dict[str, Any], whole: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError) as refused:
        reasons(AGAINST_REPORT, False, built(fields, wanted, whole))
    assert sentence in str(refused.value) and str(refused.value).endswith(NEXT)
    lifted = reasons(AGAINST_REPORT, True, built(fields, wanted, whole, unmeasured=True))
    assert any(sentence in item for item in lifted), "--unmeasured goes on, and says why it is unmeasured"


@pytest.mark.parametrize(("fields", "wanted", "whole", "sentence"), FINAL.values(), ids=FINAL)
def test_what_is_never_deployed_is_not_deployed_unmeasured_either(
    fields: dict[str, Any], wanted: dict[str, Any], whole: dict[str, Any], sentence: str
) -> None:
    for unmeasured in (False, True):
        with pytest.raises(UsageError) as refused:
            reasons(AGAINST_REPORT, unmeasured, built(fields, wanted, whole, unmeasured=unmeasured))
        assert sentence in str(refused.value) and "--unmeasured" not in str(refused.value)


def test_every_row_of_the_tables_can_refuse() -> None:
    cases = [*(built(*row[:3]) for row in (*LIFTED.values(), *FINAL.values())), THRESHOLD_OF_TFSERVING]
    assert [item.why.__name__ for item in AGAINST_REPORT if not any(item.why(each) for each in cases)] == []


def test_a_threshold_that_no_autoscaler_would_read_is_refused() -> None:
    with pytest.raises(UsageError, match="the autoscaler's threshold, and tfserving has no autoscaler: leave it out"):
        reasons(AGAINST_REPORT, True, THRESHOLD_OF_TFSERVING)


def test_all_reasons_are_told_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        reasons(AGAINST_REPORT, False, built(STAND_IN, {"device": "gpu:NVIDIA-L4"}, {}))
    lines = str(refused.value).splitlines()
    assert len(lines) == 5 and [line[:2] for line in lines[1:4]] == ["- "] * 3


def test_a_load_that_shared_the_servers_machine_is_told_and_not_refused() -> None:
    shared = "The load generator and the servers share the 2 cores of one machine: more load is less server."
    assert reasons(AGAINST_REPORT, False, case(warnings=[shared])) == []


def test_an_image_by_its_name_says_which_tf_serving_was_measured() -> None:
    fields = {**ON_TFSERVING, "engine_version": "unknown"}
    assert reasons(AGAINST_REPORT, False, built(fields, {"image": "tensorflow/serving:2.20.0"}, {})) == []


def test_another_rate_of_today_is_no_other_objective() -> None:
    promised = Slo(rate=5000.0)
    assert reasons(AGAINST_REPORT, False, replace(case(), slo=promised)) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"artifact_sha256": "b" * 64}, f"SHA-256 {'b' * 64}, and the report's is {'a' * 64}"),
        ({"counts_latency": False}, "run 'python -m serving repository --target 26.08'"),
        ({"python_runtime": True}, "NVIDIA's image of Triton 26.08 has no backend for words__onnx"),
    ],
)
def test_what_was_not_proven_for_the_target_is_not_deployed_unmeasured_either(
    changes: dict[str, Any], sentence: str
) -> None:
    for unmeasured in (False, True):
        with pytest.raises(UsageError) as refused:
            reasons(AGAINST_REPOSITORY, unmeasured, case(), laid(**changes))
        assert sentence in str(refused.value)


def test_buckets_that_the_target_does_not_know_are_refused_as_those_that_it_lacks() -> None:
    older = case(wanted=Wanted("25.10"))
    assert reasons(AGAINST_REPOSITORY, False, older, laid(counts_latency=False)) == []
    with pytest.raises(UsageError, match=r"not laid out for Triton 25\.10"):
        reasons(AGAINST_REPOSITORY, False, older, laid())


def test_a_savedmodel_on_a_triton_without_tensorflow_needs_an_image_with_it() -> None:
    fields = {"format": "savedmodel", "backend_kind": "python"}
    with pytest.raises(UsageError, match=r"docker/triton\.Dockerfile"):
        reasons(AGAINST_REPOSITORY, False, built(fields, {}, {}), laid())
    named = built(fields, {"image": "registry.example:5000/triton-tensorflow:26.08"}, {})
    assert reasons(AGAINST_REPOSITORY, False, named, laid()) == []


def test_another_configuration_than_was_measured_is_refused_with_both() -> None:
    other = laid(configuration=MEASURED.model_copy(update={"instances": 4}))
    with pytest.raises(UsageError, match=r"measured with instances 1, and .* is laid out with instances 4"):
        reasons(AGAINST_REPOSITORY, False, case(), other)
    assert len(reasons(AGAINST_REPOSITORY, True, case(), other)) == 1
    ragged = MEASURED.model_copy(update={"ragged": True, "config_sha256": "b" * 64})
    plain = case(recommended(configuration=MEASURED.model_copy(update={"ragged": False, "config_sha256": "a" * 64})))
    with pytest.raises(UsageError, match=r"with ragged False, and .* is laid out with ragged True \("):
        reasons(AGAINST_REPOSITORY, False, plain, laid(configuration=ragged))
    unbatched = laid(configuration=UNBATCHED)
    with pytest.raises(UsageError, match="no max_batch_size"):
        reasons(AGAINST_REPOSITORY, False, case(), unbatched)


@pytest.mark.parametrize(
    ("version", "target", "same"),
    [
        (VERSION, "26.08", True),
        ("2.71.0", "26.08", False),
        ("2.51.0", "26.08", False),
        ("2.66.0", "26.02", True),  # between 26.01 and 26.04, whose versions are known
        ("2.65.0", "26.02", False),
        ("2.68.0", "26.02", False),
        ("2.80.0", "27.03", True),  # newer than what is known
        ("2.72.0", "27.03", False),
        ("unknown", "26.08", False),
    ],
)
def test_a_version_is_of_a_release_or_not(version: str, target: str, same: bool) -> None:
    assert is_of_release(version, target) is same


def test_a_gpu_is_one_whether_its_driver_or_its_nodes_label_names_it() -> None:
    assert product("gpu:NVIDIA H100 80GB HBM3") == product("gpu:NVIDIA-H100-80GB-HBM3")
    assert reasons(AGAINST_REPORT, False, built({}, {"device": "gpu:NVIDIA-L4"}, {})) == []


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"rate": 0.0}, "--rate is 0: give a figure above 0"),
        ({"rate": nan}, "--rate is nan: give a figure above 0"),
        ({"rate": inf}, "--rate is inf: give a figure above 0"),
        ({"headroom": -0.1}, "--headroom is -0.1"),
        ({"headroom": nan}, "--headroom is nan: give 0 to 5"),
        ({"headroom": inf}, "--headroom is inf: give 0 to 5"),
        ({"headroom": 30.0}, "--headroom is 30: give 0 to 5; 0.3 is 30 % more than the rate, and 30 were 3000 %"),
        ({"namespace": "Load_Proof"}, "--namespace is 'Load_Proof': give at most 63 of a-z, 0-9 and '-'"),
        ({"namespace": "-"}, "--namespace is '-'"),
        ({"device": "NVIDIA-L4"}, "--device is 'NVIDIA-L4': give cpu, or gpu:"),
        ({"device": "gpu:"}, "--device is 'gpu:'"),
        ({"image": "triton"}, "--image is 'triton': name a version that does not move"),
        ({"image": "registry:5000/triton"}, "--image"),
        ({"image": "triton:latest"}, "--image is 'triton:latest'"),
        ({"image": "triton:26.08@sha256:0"}, "--image is 'triton:26.08@sha256:0'"),
        ({"image": f"triton:26.08:26.08@{DIGEST}"}, "--image is 'triton:26.08:26.08@"),
        ({"replicas": 3}, "--replicas and --queue-us are for --unmeasured"),
        ({"queue_us": 900}, "--replicas and --queue-us are for --unmeasured"),
        ({"replicas": 0, "unmeasured": True}, "--replicas is 0: give a figure above 0"),
        (
            {"unmeasured": True},
            "run 'make image IMAGES=loadtest', push it as REGISTRY/loadproof/loadtest, and give --registry",
        ),
        ({"load_image": LOAD_IMAGE}, "--load-image is for --unmeasured"),
        ({"load_image": "loadtest", "unmeasured": True}, "--load-image is 'loadtest': name a version"),
        ({"registry": "registry.example"}, "--registry is for --unmeasured"),
        ({"prometheus": "a b"}, "--prometheus-namespace is 'a b'"),
        ({"pull_secret": "-x"}, "--pull-secret is '-x'"),
        ({"prometheus": "watching", "without": frozenset({"monitoring"})}, "--without leaves that out"),
        ({"registry": "https://registry.example", "unmeasured": True}, "without https:// or a tag"),
        ({"registry": "registry.example/loadtest:1", "unmeasured": True}, "give HOST, HOST:PORT or HOST/PATH"),
        ({"registry": "", "unmeasured": True}, "--registry is ''"),
        ({"registry": "registry.example", "load_image": LOAD_IMAGE, "unmeasured": True}, "give one of them"),
        ({"rate": 500.0, **UNMEASURED}, "--rate and --headroom size by what was measured"),
        ({"headroom": 1.0, **UNMEASURED}, "--rate and --headroom size by what was measured"),
        ({"queue_us": 900, "fixed": True, **UNMEASURED}, "--fixed or --without monitoring leaves the autoscaler out"),
        ({"queue_us": 900, "without": frozenset({"monitoring"}), **UNMEASURED}, "leaves the autoscaler out"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused(flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        Wanted(TARGET, **flags)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("tag", "release"),
    [("26.08", "26.08"), ("26.08-py3", "26.08"), ("v1-25.07-py3-min", "25.07"), ("0.1.0", None), ("0.26.08", None)],
)
def test_the_tag_of_an_image_names_a_release_or_not(tag: str, release: str | None) -> None:
    assert named_release(tag) == release


@pytest.mark.parametrize(
    ("fields", "image", "checked"),
    [
        ({}, "registry.example/triton:26.08-py3", True),
        ({}, "registry.example/triton:0.1.0", False),
        ({}, f"triton@{DIGEST}", False),
        ({}, f"triton:26.08-py3@{DIGEST}", False),
        ({}, f"triton:latest@{DIGEST}", False),
        (ON_TFSERVING, "registry.example/serving:2.20.0", True),
        (ON_TFSERVING, "registry.example/serving:stable", False),
        ({**ON_TFSERVING, "engine_version": "unknown"}, "registry.example/serving:2.20.0", False),
    ],
)
def test_an_image_whose_release_nothing_tells_is_let_through_with_a_caveat(
    fields: dict[str, Any], image: str, checked: bool
) -> None:
    decided = built(fields, {"image": image}, {})
    assert reasons(AGAINST_REPORT, False, decided) == []
    said = caveats(Plan(decided, laid(), measured(decided, 1), Batching(), []))
    assert any(f"image's release was not checked ({image})" in sentence for sentence in said) is not checked


@pytest.mark.parametrize("name", ["triton", "loadproof/triton", "registry.example:5000/loadproof/triton"])
@pytest.mark.parametrize(("tag", "digest"), [("0.1.0", None), (None, DIGEST), ("0.1.0", DIGEST)])
def test_an_image_is_a_name_and_a_tag_or_a_digest_or_both(name: str, tag: str | None, digest: str | None) -> None:
    found = split_image(f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}")
    assert (found["name"], found["tag"], found["digest"]) == (name, tag, digest)


@pytest.mark.parametrize(
    ("models", "asked", "sentence"),
    [
        ([], None, "recommends nothing: no variant kept its objectives"),
        (["words", "images"], None, "recommends words, images: name one with --model"),
        (["words", "images"], "wrods", "recommends nothing for 'wrods', only for words, images; did you mean 'words'?"),
    ],
)
def test_a_model_that_is_not_recommended_is_refused(models: list[str], asked: str | None, sentence: str) -> None:
    whole = recommendation(models=dict.fromkeys(models, recommended()))
    with pytest.raises(UsageError) as refused:
        choose(whole, asked)
    assert sentence in str(refused.value)


def test_the_only_recommended_model_needs_no_name() -> None:
    assert choose(recommendation(), None) == choose(recommendation(), "words") == "words"


def test_what_only_the_hash_of_config_pbtxt_tells_is_refused_with_both_hashes() -> None:
    measured = case(recommended(configuration=MEASURED.model_copy(update={"config_sha256": "a" * 64})))
    other = laid(configuration=MEASURED.model_copy(update={"config_sha256": "b" * 64}))
    with pytest.raises(UsageError, match=f"config_sha256 {'a' * 64}, and .* config_sha256 {'b' * 64}"):
        reasons(AGAINST_REPOSITORY, False, measured, other)
    assert reasons(AGAINST_REPOSITORY, False, case(), other) == [], "an older report has no hash to compare"


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_what_no_alert_can_tell_of_tf_serving_is_said(engine: str) -> None:
    decided = built({"engine": engine}, {}, {})
    said = caveats(Plan(decided, laid(), measured(decided, 1), Batching(), []))
    assert any("no alert tells of p99 <= " in sentence for sentence in said) is (engine == "tfserving")
