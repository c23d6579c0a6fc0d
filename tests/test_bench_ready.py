"""bench.ready's own parts: what its figures are made of, and what a start that fails says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.ready import document, served, show
from bench.starting.command import BEFORE, Start, ours, parts
from bench.starting.took import Took, cpu_of, own_mib, total
from contract.errors import ServerError
from contract.workspace import Workspace
from tests.builders import endpoint

BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint('burnt', flush=True)\ninput()"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
ENDPOINTS = [
    endpoint(served_name="words__onnx", protocol="http", load_to_ready_s=1.0),
    endpoint(served_name="words__onnx", protocol="grpc", load_to_ready_s=1.0),
    endpoint(served_name="words", engine="tfserving", protocol="rest", load_to_ready_s=3.0),
]


def start(seconds: float, cpu_s: float) -> Start:
    return Start(Took(seconds, cpu_s), 1.0, {BEFORE: 0.5, "proofs": 2.0}, ENDPOINTS, {"triton": 10.0})


@pytest.mark.parametrize(
    ("lines", "wanted", "why"),
    [
        ([], {BEFORE: 9.0}, "nothing was said"),
        (
            [
                (1.0, "warning: something"),
                (2.0, "starting triton (real) on …"),
                (3.0, "load on Triton [1/2] a"),
                (5.0, "load on Triton [2/2] b"),
                (6.0, "prove [1/2] a"),
                (7.0, "\n"),
                (8.0, "prove [2/2] b"),
            ],
            {BEFORE: 2.0, "Triton starts": 1.0, "Triton loads": 3.0, "proofs": 3.0},
            "what comes again goes on",
        ),
        (
            [
                (1.0, "load on Triton [1/1] a"),
                (2.0, "prove [1/1] a"),
                (4.0, "load on Triton [1/1] b"),
                (7.0, "prove [1/1] b"),
            ],
            {BEFORE: 1.0, "Triton loads": 4.0, "proofs": 4.0},
            "models that take turns",
        ),
    ],
)
def test_each_part_lasts_until_the_next_begins_and_all_parts_are_the_whole(
    lines: list[tuple[float, str]], wanted: dict[str, float], why: str
) -> None:
    found = parts(lines, 9.0)
    assert found == wanted, why
    assert sum(found.values()) == 9.0


def test_the_cpu_time_of_a_process_is_its_childrens_too() -> None:
    command = [sys.executable, "-c", PARENT, BURN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "burnt\n"
        assert cpu_of(process.pid) >= 0.29  # the kernel counts in hundredths
        process.stdin.close()


def test_memory_is_counted_without_libraries_that_others_use_too() -> None:
    hold = "import numpy; held = numpy.ones(50 << 20, numpy.uint8); print('held', flush=True); input()"
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "held\n"
        assert 50 <= own_mib(process.pid) < psutil.Process(process.pid).memory_info().rss / 2**20
        process.stdin.close()


def test_bare_pieces_one_after_the_other_are_their_sum() -> None:
    assert total([Took(1.0, 0.5), Took(2.0, 0.25)]) == Took(3.0, 0.75)


def test_a_model_is_counted_once_for_each_server_whatever_its_protocols() -> None:
    assert set(served(ENDPOINTS)) == {"words__onnx on triton", "words on tfserving"}


def test_ratios_are_of_one_round_and_the_wanted_time_is_judged_by_the_median(
    capsys: pytest.CaptureFixture[str],
) -> None:
    starts = [start(12.0, 8.0), start(30.0, 10.0), start(18.0, 9.0)]
    bare = [
        {"tritonserver": Took(2.0, 1.0), "words__onnx on triton": Took(4.0, 3.0), "words on tfserving": Took(6.0, 4.0)},
        {"tritonserver": Took(1.0, 1.0), "words__onnx on triton": Took(4.0, 3.0), "words on tfserving": Took(5.0, 4.0)},
        {"tritonserver": Took(1.0, 1.0), "words__onnx on triton": Took(4.0, 3.0), "words on tfserving": Took(4.0, 5.0)},
    ]
    found = document(start(40.0, 12.0), starts, bare, [6.0, 5.0, 6.0])
    assert found["first_s"] == 40.0
    assert found["ready_s"] == {"median": 18.0, "min": 12.0, "max": 30.0, "wanted": 20.0, "reached": True}
    assert found["over_one_by_one"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert found["over_side_by_side"] == {"median": 3.0, "min": 2.0, "max": 6.0}
    assert found["cpu_over_bare"] == {"median": 1.0, "min": 1.0, "max": 1.25}
    rows = {row["name"]: row for row in found["served"]}
    assert rows["words on tfserving"]["load_to_ready_s"]["median"] == 3.0
    assert rows["words on tfserving"]["bare_s"] == {"median": 5.0, "min": 4.0, "max": 6.0}
    show(found)
    said = capsys.readouterr().out
    assert "start to ready: 18.0 (12.0 to 30.0) s, wanted 20: reached" in said
    assert "in the server" in said


def test_a_start_that_fails_is_told_with_the_commands_last_words(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("schema_version = 1\n")
    with pytest.raises(ServerError, match=r"python -m serving up ended with 2: (.|\n)*models"):
        ours(Workspace(tmp_path), "default")
