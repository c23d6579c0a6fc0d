"""What a release runs by itself, and what a person should be told about it."""

from __future__ import annotations

import pytest

from contract.errors import UsageError
from serving.layout.releases import flags, format_warnings, parse, release, stand_in_for, warnings


@pytest.mark.parametrize(
    ("release", "expected"), [("25.02", (25, 2)), ("25.10", (25, 10)), ("26.08", (26, 8)), ("09.12", (9, 12))]
)
def test_a_release_is_a_year_and_a_month(release: str, expected: tuple[int, int]) -> None:
    assert parse(release) == expected


@pytest.mark.parametrize(
    ("form", "kind", "target", "expected"),
    [
        ("onnx", "python", "26.08", "NVIDIA's native onnxruntime backend of release 26.08"),
        ("torchscript", "python", "24.10", "NVIDIA's native pytorch (libtorch) backend of release 24.10"),
        ("savedmodel", "python", "25.02", "NVIDIA's native tensorflow backend of release 25.02"),
        ("savedmodel", "python", "24.12", "NVIDIA's native tensorflow backend of release 24.12"),
        ("savedmodel", "python", "25.03", None),
        ("savedmodel", "python", "26.08", None),
        ("onnx", "native", "26.08", None),
        ("savedmodel", "native", "25.02", None),
    ],
)
def test_a_python_based_backend_stands_in_where_the_release_has_a_native_one(
    form: str, kind: str, target: str, expected: str | None
) -> None:
    assert stand_in_for(form, kind, target) == expected


@pytest.mark.parametrize(
    ("target", "warned"), [("24.10", True), ("25.06", True), ("25.07", False), ("25.10", False), ("26.01", False)]
)
def test_a_release_with_known_flaws_is_warned_of_with_what_to_deploy_instead(target: str, warned: bool) -> None:
    found = warnings(target)
    assert bool(found) == warned
    if warned:
        assert target in found[0]
        assert "CVE-" in found[0]
        assert "deploy 25.07 or newer" in found[0]
        assert "SavedModels have no native backend any more (25.02 was the last with one)" in found[0]


@pytest.mark.parametrize("text", ["26", "26.13", "26.00", "2026.08", "26.8", "latest", ""])
def test_what_is_no_release_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a Triton release: year and month, like 26\.08"):
        parse(text)


@pytest.mark.parametrize(
    ("target", "known"),
    [("24.10", "24.10"), ("25.09", "25.06"), ("26.08", "26.08"), ("27.01", "26.08"), ("23.01", "24.10")],
)
def test_an_unlisted_release_has_what_the_one_before_it_has(target: str, known: str) -> None:
    assert release(target).name == known


def test_a_release_that_nobody_here_knows_is_said_to_be_unknown() -> None:
    assert "not known here yet" in warnings("27.01")[-1]
    assert "older than 24.10" in warnings("23.05")[-1]


def test_flags_are_given_only_to_servers_that_take_them() -> None:
    wanted = {
        "--http-port": "1",
        "--grpc-infer-thread-count": "4",
        "--http-max-input-size": "9",
        "--allow-client-shm": "true",
    }
    assert flags("24.10", wanted) == ["--http-port=1"]
    assert flags("25.04", wanted) == ["--http-port=1", "--grpc-infer-thread-count=4"]
    assert len(flags("26.04", wanted)) == 4


def test_a_savedmodel_is_warned_of_from_the_first_release_without_tensorflow() -> None:
    assert format_warnings("25.02", "savedmodel", {}) == []
    assert "serving/backends/tensorflow" in format_warnings("25.03", "savedmodel", {})[0]


@pytest.mark.parametrize(
    ("target", "opset", "ir", "warned"),
    [("24.10", 21, 10, False), ("24.10", 22, 10, True), ("24.10", 18, 11, True), ("26.08", 23, 11, False)],
)
def test_an_onnx_file_newer_than_the_releases_runtime_is_warned_of(
    target: str, opset: int, ir: int, warned: bool
) -> None:
    found = format_warnings(target, "onnx-fp16", {"opset": opset, "ir": ir})
    assert bool(found) == warned
    assert not warned or f"ONNX Runtime {release(target).onnxruntime}" in found[0]


def test_a_python_runtime_that_the_configuration_names_stands_in_for_nothing() -> None:
    assert stand_in_for("onnx", "python", "26.08", python_runtime=True) is None
