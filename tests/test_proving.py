"""What an endpoint says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.batching import Triton
from serving.proof import proving
from tests.builders import model, served, server, workspace


@pytest.mark.parametrize(
    ("kept", "engine_kind", "expected"),
    [
        ("auto", "real", "gpu:NVIDIA L4"),
        ("gpu", "real", "gpu:NVIDIA L4"),
        ("cpu", "real", "cpu"),
        ("auto", "embedded", "cpu"),
    ],
)
def test_a_model_that_is_kept_on_the_cpu_is_not_said_to_run_on_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, engine_kind: str, expected: str
) -> None:
    monkeypatch.setattr(proving, "device", lambda: "gpu:NVIDIA L4")
    item = served(workspace(tmp_path), model=model(triton=Triton(device=kept)))
    assert proving._device(item, server(engine_kind=engine_kind)) == expected


@pytest.mark.parametrize(
    ("place", "gpus", "holds", "expected"),
    [
        ("docker", True, False, "gpu:NVIDIA L4"),
        ("docker", False, False, "cpu"),
        ("process", False, True, "gpu:NVIDIA L4"),
        ("process", False, False, "cpu"),
        ("url", False, False, "unknown"),
    ],
)
def test_a_tf_serving_is_on_the_gpu_only_where_it_is_known_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, gpus: bool, holds: bool, expected: str
) -> None:
    monkeypatch.setattr(proving, "device", lambda: "gpu:NVIDIA L4")
    monkeypatch.setattr(proving, "holds_gpu", lambda pid: holds)
    item = served(workspace(tmp_path), engine="tfserving", format="savedmodel")
    record = server(engine="tfserving", place=place, gpus=gpus, pid=42 if place == "process" else None)
    assert proving._device(item, record) == expected


def test_on_a_machine_without_a_gpu_every_tf_serving_is_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "device", lambda: "cpu")
    item = served(workspace(tmp_path), engine="tfserving", format="savedmodel")
    for place in ("docker", "process", "url"):
        assert proving._device(item, server(engine="tfserving", place=place)) == "cpu"
