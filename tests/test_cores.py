"""Children use the cores that they are given, and this process keeps its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from contract.cores import on_cores
from contract.errors import UsageError

TELL = "import os; print(sorted(os.sched_getaffinity(0)))"


def affinity_of_a_child() -> str:
    return subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout.strip()


def test_a_child_uses_only_its_cores_and_the_parent_keeps_all() -> None:
    mine = os.sched_getaffinity(0)
    one = min(mine)
    with on_cores([one], "affinity.load"):
        assert affinity_of_a_child() == f"[{one}]"
    assert os.sched_getaffinity(0) == mine


def test_no_cores_means_no_change() -> None:
    with on_cores([], "affinity.load"):
        assert affinity_of_a_child() == str(sorted(os.sched_getaffinity(0)))


def test_a_core_that_is_not_there_is_named_with_the_key() -> None:
    with (
        pytest.raises(UsageError, match=r"affinity\.servers names cores \[4095\]; this machine lets us use"),
        on_cores([4095], "affinity.servers"),
    ):
        pass
