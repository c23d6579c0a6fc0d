"""Configuration files, version policies, the catalog and the metrics; no server is started."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from serving.tfserving import config, flags, plan
from serving.tfserving.catalog import Catalog
from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import HTTP_STATUS, Code, SetupError, StatusError
from serving.tfserving.metrics import BUCKET_LIMITS, Histogram, Metrics
from serving.tfserving.states import State
from serving.tfserving.storage import ModelEntry, VersionPolicy, find_versions
from tests.conftest import ROOT

BASE = ("--model_base_path=/models/m",)


# ---------------------------------------------------------------- configuration files


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.cfg"
    path.write_text(text)
    return path


def test_a_model_config_gives_names_policies_and_labels(tmp_path: Path) -> None:
    entries = config.read_models(
        written(
            tmp_path,
            """model_config_list {
              config { name: "a" base_path: "/a" model_platform: "tensorflow" }
              config { name: "b" base_path: "/b" model_type: TENSORFLOW
                       model_version_policy { latest { num_versions: 2 } } }
              config { name: "c" base_path: "/c" model_platform: "tensorflow"
                       model_version_policy { specific { versions: 7 versions: 9 } }
                       version_labels { key: "stable" value: 7 } }
              config { name: "d" base_path: "/d" model_platform: "tensorflow"
                       model_version_policy { all {} } } }""",
        )
    )
    assert [entry.policy for entry in entries] == [
        VersionPolicy(),
        VersionPolicy("latest", count=2),
        VersionPolicy("specific", versions=(7, 9)),
        VersionPolicy("all"),
    ]
    assert entries[2].labels == (("stable", 7),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("improperly formatted", "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" } }',
            "Expected model a to have an absolute path or URI; got base_path()=a",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow" }'
            ' config { name: "a" base_path: "/b" model_platform: "tensorflow" } }',
            "Illegal to list model a multiple times in config list",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/a" } }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "torch" } }',
            "Model a requests unsupported platform torch",
        ),
    ],
)
def test_a_bad_model_config_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError) as caught:
        config.read_models(written(tmp_path, text))
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_monitoring_is_off_unless_enabled_and_has_the_usual_path(tmp_path: Path) -> None:
    enabled = written(tmp_path, "prometheus_config { enable: true }")
    assert config.read_prometheus_path(enabled) == "/monitoring/prometheus/metrics"
    named = written(tmp_path, 'prometheus_config { enable: true path: "/m" }')
    assert config.read_prometheus_path(named) == "/m"
    assert config.read_prometheus_path(written(tmp_path, "prometheus_config { }")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", BatchingParameters()),
        (
            "max_batch_size { value: 8 } batch_timeout_micros { value: 0 } num_batch_threads { value: 3 }"
            " allowed_batch_sizes: 4 allowed_batch_sizes: 8 pad_variable_length_inputs: true",
            BatchingParameters(8, 0, 10, 3, (4, 8), padding=True, execution=8),
        ),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true }"
            " max_execution_batch_size { value: 2 } max_enqueued_batches { value: 5 }",
            BatchingParameters(8, 0, 5, splitting=True, execution=2),
        ),
        ("max_batch_size { value: 8 } max_execution_batch_size { value: 2 }", BatchingParameters(8, execution=8)),
    ],
)
def test_batching_parameters_have_tensorflows_defaults(tmp_path: Path, text: str, expected: BatchingParameters) -> None:
    assert config.read_batching(written(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 6",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 6; expected 8",
        ),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "must increase"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be at least 0"),
        ("max_batch_sizes { value: 8 }", "Error parsing text-format tensorflow.serving.BatchingParameters"),
        (
            "max_batch_size { value: 2 } enable_large_batch_splitting { value: true }"
            " max_execution_batch_size { value: 4 }",
            "must not exceed max_batch_size",
        ),
    ],
)
def test_wrong_batching_parameters_are_found_before_anything_is_loaded(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SetupError, match=message):
        plan.read_plan(flags.parse([*BASE, "--enable_batching", f"--batching_parameters_file={file}"]))


def test_batching_without_a_file_uses_the_defaults_and_is_off_unless_asked_for() -> None:
    assert plan.read_plan(flags.parse([*BASE, "--enable_batching"])).batching == BatchingParameters()
    assert plan.read_plan(flags.parse(BASE)).batching is None


# ---------------------------------------------------------------- versions and states


def make_versions(base: Path, *names: str) -> None:
    for name in names:
        (base / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (VersionPolicy(), [1000]),
        (VersionPolicy("latest", count=2), [123, 1000]),
        (VersionPolicy("all"), [2, 123, 1000]),
        (VersionPolicy("specific", versions=(2, 5)), [2]),
    ],
)
def test_a_policy_chooses_among_the_numbered_directories(
    tmp_path: Path, policy: VersionPolicy, expected: list[int]
) -> None:
    make_versions(tmp_path, "00000123", "2", "1000", "assets", "1.5", "99999999999999999999")
    (tmp_path / "5000").touch()
    found = find_versions(ModelEntry("m", tmp_path, policy))
    assert list(found.paths) == expected
    assert any("Version 5 of servable m" in note for note in found.notes) == (policy.kind == "specific")


def test_a_model_without_versions_is_a_note_and_not_an_error(tmp_path: Path) -> None:
    assert "No versions of servable m found" in find_versions(ModelEntry("m", tmp_path)).notes[0]
    missing = find_versions(ModelEntry("m", tmp_path / "none"))
    assert "Could not find base path" in missing.notes[0]


def catalog_of_paths() -> Catalog:
    """A catalog whose "models" are their directories; a directory with a file named bad does not load."""

    def load(path: Path) -> Any:
        if (path / "bad").exists():
            raise StatusError(Code.DATA_LOSS, "spoilt")
        return path

    return Catalog(load)


def test_a_version_that_fails_to_load_ends_with_its_error_and_the_others_serve(tmp_path: Path) -> None:
    make_versions(tmp_path, "1", "2")
    (tmp_path / "2" / "bad").touch()
    catalog = catalog_of_paths()
    applied = catalog.apply([ModelEntry("m", tmp_path, VersionPolicy("all"))])
    assert [failed.version for failed in applied.failed] == [2]
    assert catalog.servable("m").version == 1
    bad, good = catalog.status("m")
    assert (good.state, good.code) == (State.AVAILABLE, Code.OK)
    assert (bad.state, bad.code, bad.message) == (State.END, Code.DATA_LOSS, "spoilt")


def test_applying_again_loads_what_is_new_and_unloads_what_is_gone(tmp_path: Path) -> None:
    make_versions(tmp_path / "a", "1")
    make_versions(tmp_path / "b", "1")
    catalog = catalog_of_paths()
    a = ModelEntry("a", tmp_path / "a", labels=(("stable", 2),))
    assert catalog.apply([a]).unavailable_labels == [
        "Request to assign label to version 2 of model a, which is not currently available for inference"
    ]
    make_versions(tmp_path / "a", "2")
    assert not catalog.apply([a, ModelEntry("b", tmp_path / "b")]).unavailable_labels
    assert catalog.servable("a").version == catalog.servable("a", label="stable").version == 2
    assert [status.state for status in catalog.status("a")] == [State.AVAILABLE, State.END]  # newest first
    catalog.apply([ModelEntry("b", tmp_path / "b")])
    with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(a\)$"):
        catalog.servable("a")


@pytest.mark.parametrize(
    ("ask", "code", "message"),
    [
        (("",), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (("x",), Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (("m", 7), Code.NOT_FOUND, "Servable not found for request: Specific(m, 7)"),
        (("m", None, "l"), Code.INVALID_ARGUMENT, "Unrecognized servable version label: l"),
        (("../m",), Code.NOT_FOUND, "Servable not found for request: Latest(../m)"),
    ],
)
def test_a_servable_that_is_not_there_is_refused_in_the_known_words(
    tmp_path: Path, ask: tuple[Any, ...], code: Code, message: str
) -> None:
    make_versions(tmp_path, "1")
    catalog = catalog_of_paths()
    catalog.apply([ModelEntry("m", tmp_path)])
    with pytest.raises(StatusError) as caught:
        catalog.servable(*ask)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_every_code_has_an_http_status() -> None:
    assert set(HTTP_STATUS) == set(Code)


# ---------------------------------------------------------------- metrics


def test_a_histogram_counts_each_value_in_the_bucket_that_it_does_not_exceed() -> None:
    histogram = Histogram()
    for value in (1, BUCKET_LIMITS[0], BUCKET_LIMITS[0] + 0.1, 1e12):
        histogram.observe(value)
    lines = histogram.lines("h", 'a="b"')
    assert lines[0] == 'h_bucket{a="b",le="10"} 2'
    assert lines[1] == 'h_bucket{a="b",le="18"} 3'
    assert lines[len(BUCKET_LIMITS)] == 'h_bucket{a="b",le="+Inf"} 4'
    assert lines[-1] == 'h_count{a="b"} 4'


def test_the_page_has_what_serving_counts_itself_as_the_documentation_lists_it() -> None:
    names = [line.split()[2] for line in Metrics().page().splitlines()]
    assert all(name.startswith(":tensorflow:serving:") for name in names)
    lines = (ROOT / "docs" / "serving.md").read_text().splitlines()
    (said,) = (line for line in lines if line.startswith("- *Metrics.*"))
    listed = re.findall("`([a-z_]+)`", said.partition("What TensorFlow counts beneath")[0])
    assert sorted(listed) == sorted(name.rpartition(":")[2] for name in names)


def test_metrics_lose_nothing_to_concurrency() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.request('m"', "Predict", "GRPC", "OK", 20)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    page = metrics.page()
    labels = r'model_name="m\"",API="Predict",entrypoint="GRPC"'
    assert r':tensorflow:serving:request_count{model_name="m\"",status="OK"} 2000' in page
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 2000" in page


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True), ("10.0.0.7", True)],
)
def test_listening_beyond_this_machine_is_said_with_what_it_exposes(tmp_path: Path, host: str, warned: bool) -> None:
    notes = plan.read_plan(flags.parse([f"--host={host}", f"--model_base_path={tmp_path}"])).notes
    assert any(f"listening on {host}" in note and "no authentication" in note for note in notes) == warned


@pytest.mark.parametrize(("name", "said"), [("", False), ('thread_pool_name { value: "mine" }', True)])
def test_a_name_for_the_threads_that_has_no_effect_is_said(tmp_path: Path, name: str, said: bool) -> None:
    file = written(tmp_path, f"num_batch_threads {{ value: 2 }} {name}")
    given = ["--enable_batching", f"--batching_parameters_file={file}", f"--model_base_path={tmp_path}"]
    notes = plan.read_plan(flags.parse(given)).notes
    assert [note for note in notes if note.startswith(f"thread_pool_name 'mine' of {file} has no effect")] == notes
    assert bool(notes) == said
