"""verify: every hash, every artifact that counts as proven, and the exit code of parity where one thing is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.children import Ended
from contract.errors import LoadproofError, ParityError, ServerError, UsageError
from contract.golden import write_examples
from contract.manifest import GOLDEN, MANIFEST
from export import again
from tests.builders import examples, workspace, write_artifacts


class Children:
    """Takes the place of `run_child`."""

    def __init__(self, ends: dict[str, Ended] | None = None) -> None:
        self.ends = ends or {}
        self.commands: list[list[str]] = []
        self.options: list[dict[str, Any]] = []

    def __call__(self, command: Sequence[str], **options: Any) -> Ended:
        self.commands.append(list(command))
        self.options.append(options)
        return self.ends.get(command[5], Ended(0, ["{}"]))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    fake = Children()
    monkeypatch.setattr(again, "run_child", fake)
    return fake


@pytest.fixture
def version(tmp_path: Path) -> Path:
    write_artifacts(workspace(tmp_path), failed={"savedmodel": "failed: wrong values"})
    return tmp_path / "artifacts" / "words" / "1"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_an_intact_version_is_asked_again_format_by_format(
    version: Path, children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    assert again.main([str(version)]) == 0
    assert [command[3:6] for command in children.commands] == [
        ["verify", "words", "torchscript"],
        ["verify", "words", "onnx"],
    ]
    assert all(f"--directory {version}" in " ".join(command) for command in children.commands)
    assert capsys.readouterr().out.splitlines() == ["words torchscript: proven again", "words onnx: proven again"]


def test_a_finished_version_is_not_written_to(version: Path, children: Children) -> None:
    before = sorted(version.rglob("*"))
    again.main([str(version)])
    assert sorted(version.rglob("*")) == before
    assert all(str(version) not in command[command.index("--out") + 1] for command in children.commands)


def test_nothing_is_run_where_only_hashes_are_wanted(version: Path, children: Children) -> None:
    assert again.main([str(version), "--hashes-only"]) == 0
    assert children.commands == []


def test_the_values_of_the_worst_element_are_kept_only_when_asked_for(version: Path, children: Children) -> None:
    again.main([str(version)])
    again.main([str(version), "--include-payloads"])
    assert ["--include-payloads" in command for command in children.commands] == [False, False, True, True]


def test_a_step_that_hangs_is_ended(version: Path, children: Children) -> None:
    again.main([str(version)])
    assert children.options and all(options.get("limit_s") for options in children.options)


@pytest.mark.parametrize("tamper", [flip, Path.unlink], ids=["a flipped byte", "a file that is gone"])
@pytest.mark.parametrize("file", ["model.onnx", "model.pt", GOLDEN])
def test_a_file_that_is_not_what_the_manifest_says_is_named_and_never_run(
    version: Path,
    children: Children,
    capsys: pytest.CaptureFixture[str],
    file: str,
    tamper: Callable[[Path], None],
) -> None:
    tamper(version / file)
    with pytest.raises(ParityError, match=r"1 defects? in .*; export again with 'make export'"):
        again.main([str(version)])
    assert f"{version / file} is not what its manifest says" in capsys.readouterr().out
    assert children.commands == []


def test_a_file_more_or_less_in_a_savedmodel_is_found(tmp_path: Path, children: Children) -> None:
    write_artifacts(workspace(tmp_path), formats=["savedmodel"])
    saved = tmp_path / "artifacts" / "words" / "1" / "model.savedmodel"
    (saved / "assets.extra").mkdir()
    (saved / "assets.extra" / "more").write_bytes(b"")
    with pytest.raises(ParityError):
        again.main([str(tmp_path / "artifacts")])


def test_an_artifact_that_no_longer_agrees_is_a_parity_error_with_its_reason(
    version: Path, children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.ends["onnx"] = Ended(5, ["{}", "error: wrong values: r0001: far off"])
    with pytest.raises(ParityError, match="1 defect"):
        again.main([str(version)])
    assert "words onnx: wrong values: r0001: far off" in capsys.readouterr().out.splitlines()


def test_the_other_models_are_proven_although_one_is_damaged(tmp_path: Path, version: Path, children: Children) -> None:
    write_artifacts(workspace(tmp_path), "others")
    flip(version / "model.onnx")
    with pytest.raises(ParityError):
        again.main([str(tmp_path / "artifacts")])
    assert {command[4] for command in children.commands} == {"others"}


def test_the_other_models_are_proven_although_one_manifest_is_unreadable(
    tmp_path: Path, version: Path, children: Children
) -> None:
    write_artifacts(workspace(tmp_path), "others")
    flip(version / MANIFEST)
    text = (version / MANIFEST).read_text(errors="replace")
    (version / MANIFEST).write_text(text[:-9])
    with pytest.raises(LoadproofError):
        again.main([str(tmp_path / "artifacts")])
    assert {command[4] for command in children.commands} == {"others"}


@pytest.mark.parametrize("name", ["nowhere", "artifacts/words/1/logs"])
def test_a_folder_without_an_export_is_wrong_usage(tmp_path: Path, version: Path, name: str) -> None:
    with pytest.raises(UsageError, match="holds no complete export"):
        again.main([str(tmp_path / name)])


def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path: Path, version: Path, children: Children) -> None:
    """A folder may come from elsewhere; its manifest has no say about files outside of it."""
    (tmp_path / "secret.npz").write_bytes(b"mine")
    manifest = json.loads((version / MANIFEST).read_text())
    manifest["formats"]["onnx"]["path"] = "../../../secret.npz"
    (version / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(LoadproofError):
        again.main([str(version)])
    assert children.commands == []


def test_an_interrupted_step_is_no_defect(version: Path, children: Children) -> None:
    children.ends["onnx"] = Ended(130, ["interrupted"])
    with pytest.raises((LoadproofError, KeyboardInterrupt)) as caught:
        again.main([str(version)])
    assert not isinstance(caught.value, ParityError)


def test_a_golden_batch_of_another_model_is_found(version: Path, children: Children) -> None:
    write_examples(version / GOLDEN, examples()[:3])
    with pytest.raises(ParityError):
        again.main([str(version)])


OVERRAN = Ended(-9, [], timed_out_s=0.01)
KILLED = Ended(-9, ["loading"])
UNINSTALLED = Ended(3, ["error: torch is not installed here; make env"])
DISK_FULL = Ended(3, ["error: /tmp/x: No space left on device; make room"])


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (OVERRAN, "words onnx was not proven: took longer than its limit of 0.01 s; raise --time-limit"),
        (KILLED, "words onnx was not proven: killed by signal 9 (SIGKILL); free memory"),
        (DISK_FULL, "words onnx was not proven: /tmp/x: No space left on device; make room; then verify again"),
        (UNINSTALLED, "words onnx was not proven: torch is not installed here; make env; then verify again"),
    ],
    ids=["time limit", "out of memory", "disk full", "not installed"],
)
def test_what_the_machine_ended_is_no_defect_of_the_artifact(
    version: Path, children: Children, capsys: pytest.CaptureFixture[str], ended: Ended, sentence: str
) -> None:
    children.ends["onnx"] = ended
    with pytest.raises(
        ServerError, match=r"1 artifact was not proven in .*, and no defect .*the lines above"
    ) as caught:
        again.main([str(version), "--time-limit", "0.01"])
    assert caught.value.exit_code == 3
    assert all(options["limit_s"] == 0.01 for options in children.options)
    assert "words torchscript: proven again" in (lines := capsys.readouterr().out.splitlines())
    assert sentence in lines


def test_a_defect_counts_although_the_machine_ended_another_proof(
    version: Path, children: Children, capsys: pytest.CaptureFixture[str]
) -> None:
    children.ends |= {"torchscript": OVERRAN, "onnx": Ended(5, ["error: wrong values: r0001: far off"])}
    with pytest.raises(ParityError, match="1 defect in"):
        again.main([str(version)])
    assert "words torchscript was not proven" in capsys.readouterr().out


@pytest.mark.parametrize("code", [-11, 1, 2, 70])
def test_an_artifact_on_which_its_runtime_crashes_is_a_defect(version: Path, children: Children, code: int) -> None:
    children.ends["onnx"] = Ended(code, ["a last word"])
    with pytest.raises(ParityError, match="1 defect in"):
        again.main([str(version)])


@pytest.mark.parametrize("limit", ["nan", "0", "-1", "inf", "1e300"])
def test_a_time_limit_that_is_none_is_refused_before_anything_is_proven(
    version: Path, children: Children, limit: str
) -> None:
    with pytest.raises(UsageError, match=r"is no limit; say a number of seconds above 0"):
        again.main([str(version), f"--time-limit={limit}"])
    assert children.commands == []
