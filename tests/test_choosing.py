"""Which servers the flags of `serving up` ask for: one place for both engines, and what is said of one goes first."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from contract.errors import UsageError
from serving.__main__ import COMMANDS, main
from serving.choice import Choice
from serving.choosing import Ways, choice_of, chosen
from tests.conftest import run_module

BOTH = ("triton", "tfserving")
TRITON, TFSERVING = "http://gpu1:8000,grpc://gpu1:8001", "rest://gpu2:8501,grpc://gpu2:8500"


@pytest.fixture(autouse=True)
def without_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


def parsed(*words: str, command: str = "up") -> argparse.Namespace:
    """What the command line makes of the flags of a command."""
    found = argparse.Namespace()

    def keep(options: argparse.Namespace) -> int:
        vars(found).update(vars(options))
        return 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(COMMANDS, command, keep)
        assert main([command, *words]) == 0
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Ways("process", "auto")),
        (["--place", "process"], Ways("process", "embedded")),
        (["--place", "docker"], Ways("docker", "docker")),
        (["--place", f"{TRITON},{TFSERVING}"], Ways(TRITON, TFSERVING)),
        (["--place", f"{TFSERVING},http://gpu1"], Ways("http://gpu1", TFSERVING)),
        (["--place", "docker", "--tfserving", "embedded"], Ways("docker", "embedded")),
        (["--place", TRITON, "--tfserving", "auto"], Ways(TRITON, "auto")),
        (["--triton", "docker"], Ways("docker", "auto")),
        (["--tfserving", "docker"], Ways("process", "docker")),
    ],
)
def test_one_flag_says_where_both_engines_run_and_a_flag_of_one_goes_first(words: list[str], expected: Ways) -> None:
    made = choice_of(parsed(*words), [])
    assert Ways(made.triton, made.tfserving) == expected


def test_the_word_that_a_server_is_ours_is_kept_and_is_about_one_at_an_address() -> None:
    assert choice_of(parsed("--tfserving", TFSERVING, "--tfserving-ours"), []).tfserving_ours
    assert not choice_of(parsed("--tfserving", TFSERVING), []).tfserving_ours
    with pytest.raises(UsageError, match="is to run as 'embedded', which has our models alone anyway"):
        choice_of(parsed("--tfserving", "embedded", "--tfserving-ours"), [])


@pytest.mark.parametrize(("command", "words"), [("roll", []), ("reload", ["keras"])])
def test_who_configures_a_server_at_an_address_may_be_given_the_word_too(command: str, words: list[str]) -> None:
    assert parsed(*words, "--tfserving-ours", command=command).tfserving_ours
    assert not parsed(*words, command=command).tfserving_ours


def test_who_configures_none_does_not_take_it() -> None:
    with pytest.raises(SystemExit):
        parsed("words__onnx", "--tfserving-ours", command="load")


def test_as_a_process_the_original_comes_before_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert chosen("process", {}, BOTH) == Ways("process", "binary")


def test_without_flags_the_choice_is_the_default() -> None:
    assert choice_of(parsed(), []) == Choice()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("podman", "unknown place 'podman': one of process, docker, or addresses of those that run: http://HOST:8000"),
        ("grpc://gpu1:8001", "begin with http:// for Triton or rest:// for TF Serving"),
        (f"{TRITON},http://gpu3", "names two servers of Triton"),
        (TRITON, "is no address of TF Serving, and models are for it: add its address .*--triton or --tfserving"),
        (TFSERVING, "is no address of Triton, and models"),
    ],
)
def test_a_place_that_nobody_knows_or_that_leaves_an_engine_out_is_refused(place: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        chosen(place, {}, BOTH)


def test_an_address_of_the_only_engine_that_is_needed_is_enough() -> None:
    assert chosen(TRITON, {}, {"triton"}).triton == TRITON
    assert chosen(TFSERVING, {"triton": "docker"}, BOTH) == Ways("docker", TFSERVING)


@pytest.mark.parametrize("words", [[], ["--place", "process"], ["--place", "docker", "--triton", "process"]])
def test_an_image_for_a_triton_that_is_not_in_docker_is_refused_and_not_forgotten(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--triton-image is an image for Docker.*say --place docker"):
        choice_of(parsed("--triton-image", "mine:1", *words), [])
    assert choice_of(parsed("--triton-image", "mine:1", "--place", "docker"), []).image == "mine:1"


def test_the_flag_is_told_with_its_forms_and_the_defaults_of_the_others(tmp_path: Path) -> None:
    told = " ".join(run_module("serving", "up", "--help", "--workspace", str(tmp_path)).stdout.split())
    assert "--place PLACE where all servers run: process, docker, or addresses" in told
    assert "(default: process)" in told and "(default: auto)" in told
