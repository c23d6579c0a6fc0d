"""Flags, configuration files, version policies, the catalog and the metrics; no server is started."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from serving.tfserving import config, flags, plan
from serving.tfserving.catalog import Catalog, State
from serving.tfserving.errors import HTTP_STATUS, Code, SetupError, StatusError
from serving.tfserving.metrics import BUCKET_LIMITS, Histogram, Metrics
from serving.tfserving.storage import ModelEntry, VersionPolicy, find_versions

BASE = ("--model_base_path=/models/m",)


# ---------------------------------------------------------------- flags


def test_both_spellings_of_a_flag_mean_the_same() -> None:
    joined = flags.parse([*BASE, "--port=1", "--enable_batching=true", "--model_name=a=b"])
    apart = flags.parse([*BASE, "--port", "1", "--enable_batching", "--model_name", "a=b"])
    assert joined == apart
    assert (joined.port, joined.rest_api_port, joined.host) == (1, 0, "127.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([*BASE, "--prot=1"], "the nearest flag is --port"),
        ([*BASE, "--rest_port=1"], "the nearest flag is --rest_api_port"),
        ([*BASE, "--enable_profiler=false"], "not in the embedded server; leave it out"),
        ([*BASE, "8500"], "'8500' is not a flag"),
        ([*BASE, "--port=high"], "--port is a whole number, got 'high'"),
        ([*BASE, "--port=70000"], "--port is a port from 0 (off) to 65535, got 70000"),
        ([*BASE, "--enable_batching=maybe"], "--enable_batching is true or false"),
        ([*BASE, "--port", "--host=x"], "--port needs a value"),
        ([*BASE, "--port=0"], "Nothing to serve on"),
        ([*BASE, "--port=5", "--rest_api_port=5"], "--rest_api_port cannot be same as --port"),
        ([*BASE, "--batching_parameters_file=x"], "without --enable_batching"),
        ([*BASE, "--grpc_max_threads=0"], "--grpc_max_threads must be at least 1"),
        ([], "give --model_base_path or --model_config_file"),
    ],
)
def test_a_wrong_flag_is_a_sentence_with_a_next_step(arguments: list[str], text: str) -> None:
    with pytest.raises(SetupError) as caught:
        flags.parse(arguments)
    assert text in str(caught.value)
    assert caught.value.exit_code == 2


def test_help_lists_every_flag_with_its_default() -> None:
    assert "--rest_api_timeout_in_ms=0" in flags.usage()


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
    ("text", "message"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 6",
            "must be max_batch_size",
        ),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", "must increase"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1"),
        ("max_batch_sizes { value: 8 }", "Error parsing text-format tensorflow.serving.BatchingParameters"),
    ],
)
def test_batching_parameters_are_validated_although_they_are_ignored(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        config.check_batching(written(tmp_path, text))


def test_batching_is_accepted_aloud(tmp_path: Path) -> None:
    good = written(tmp_path, "max_batch_size { value: 8 } batch_timeout_micros { value: 0 }")
    made = plan.read_plan(flags.parse([*BASE, "--enable_batching", f"--batching_parameters_file={good}"]))
    assert made.notes == ["the embedded server executes requests singly; --enable_batching is accepted and ignored"]


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
    good, bad = catalog.status("m")
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
    assert [status.state for status in catalog.status("a")] == [State.END, State.AVAILABLE]
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
