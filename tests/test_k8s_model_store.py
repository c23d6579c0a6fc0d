"""The check before a server starts lets the proven bytes through and no others."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.k8s_rendered import K8S, OVERLAYS, pod, server

CHECK = K8S / "components" / "model-store" / "check.sh"
FILES = {"churn__onnx/config.pbtxt": b"name", "churn__onnx/1/model.onnx": b"weights", "other/1/model.pt": b"else"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "models").mkdir()
    return tmp_path / "store"


def check(store: Path, sums: dict[str, bytes] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script as the init container does; ``sums`` are the files that were proven."""
    proven = {name: data for name, data in FILES.items() if name.startswith("churn")} if sums is None else sums
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in proven.items()]
    (store.parent / "SHA256SUMS").write_text("".join(lines))
    words: list[str | Path] = ["sh", CHECK, store, store.parent / "SHA256SUMS", store.parent / "models"]
    environment = {"PATH": os.environ["PATH"], "MODEL": "churn__onnx"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)


def served(store: Path) -> dict[str, bytes]:
    models = store.parent / "models"
    return {str(file.relative_to(models)): file.read_bytes() for file in models.rglob("*") if file.is_file()}


def test_the_proven_model_is_copied_and_nothing_else(store: Path) -> None:
    result = check(store)
    assert (result.returncode, result.stdout) == (0, "churn__onnx: 2 files, as listed\n")
    assert served(store) == {name: data for name, data in FILES.items() if name.startswith("churn")}


def test_a_pod_that_starts_again_gets_the_same(store: Path) -> None:
    check(store)
    (store.parent / "models" / "churn__onnx" / "left-over").write_text("of a start before")
    assert check(store).returncode == 0
    assert len(served(store)) == 2


def test_other_bytes_are_refused_and_not_left_to_be_served(store: Path) -> None:
    (store / "churn__onnx" / "1" / "model.onnx").write_bytes(b"weightz")
    result = check(store)
    assert result.returncode == 1
    assert "error: the files of churn__onnx are not those that SHA256SUMS lists" in result.stderr
    assert served(store) == {}


def test_a_file_without_a_line_is_refused(store: Path) -> None:
    (store / "churn__onnx" / "1" / "model.py").write_text("import os")
    result = check(store)
    assert (result.returncode, served(store)) == (1, {})
    assert "churn__onnx holds 3 files and SHA256SUMS lists 2" in result.stderr


def test_a_file_that_is_missing_is_refused(store: Path) -> None:
    (store / "churn__onnx" / "config.pbtxt").unlink()
    assert (check(store).returncode, served(store)) == (1, {})


def test_a_link_is_served_as_what_it_was_when_it_was_checked(store: Path) -> None:
    model = store / "churn__onnx" / "1" / "model.onnx"
    model.rename(store / "elsewhere")
    model.symlink_to(store / "elsewhere")
    assert check(store).returncode == 0
    (store / "elsewhere").write_bytes(b"changed later")
    assert served(store)["churn__onnx/1/model.onnx"] == b"weights"


def test_a_model_that_the_store_lacks_is_named(store: Path) -> None:
    (store / "churn__onnx").rename(store / "renamed")
    assert "error: the store has no folder churn__onnx" in check(store).stderr


def test_an_overlay_whose_sums_nobody_filled_in_serves_nothing(store: Path) -> None:
    assert (check(store, {}).returncode, served(store)) == (1, {})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_gets_the_checked_copy_and_cannot_change_it(overlay: str) -> None:
    (init,) = pod(overlay)["initContainers"]
    assert (init["image"], init["command"]) == (server(overlay)["image"], ["sh", "/check/check.sh"])
    target = {mount["mountPath"]: mount for mount in init["volumeMounts"]}
    (source,) = (mount for mount in server(overlay)["volumeMounts"] if mount["mountPath"] == "/models")
    assert init["args"] == ["/store", "/sums/SHA256SUMS", "/models"]
    assert (source["name"], source["readOnly"]) == (target["/models"]["name"], True)
    assert target["/store"]["readOnly"] and target["/sums"]["readOnly"]
    assert "store" not in {mount["name"] for mount in server(overlay)["volumeMounts"]}
