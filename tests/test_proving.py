"""What an endpoint says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.batching import Triton
from serving import proving
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
