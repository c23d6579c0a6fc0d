"""What a release runs by itself, and what a person should be told about it."""

from __future__ import annotations

import pytest

from serving.releases import parse, stand_in_for, warnings


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
