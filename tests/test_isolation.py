"""A step gives up the network: what listened before cannot be reached, from this process or from one that it starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from contract.children import QUIET
from tests.conftest import ROOT

TRY = """
import json, os, socket, sys
def reached():
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2).close()
        return True
    except OSError:
        return False
before = reached()
{imports}
from export.isolation import leave_network
kept = leave_network()
after = reached()
child = os.fork()
if child == 0:
    os._exit(7 if reached() else 0)
by_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
path = sys.argv[2]
open(path, "w").write("x")
print(json.dumps(dict(before=before, kept=kept, after=after, by_child=by_child, ids=[os.getuid(), os.getgid()],
                      owner=[os.stat(path).st_uid, os.stat(path).st_gid])))
"""


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield int(listening.getsockname()[1])


def tried(port: int, path: str, imports: str = "", before: str = "") -> dict[str, Any]:
    script = before + TRY.format(imports=imports)
    result = subprocess.run(
        [sys.executable, "-c", script, str(port), path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("imports", ["", "import export.step"], ids=["bare", "as a step does"])
def test_after_leaving_the_network_nothing_that_listens_is_reached(port: int, tmp_path: Any, imports: str) -> None:
    found = tried(port, str(tmp_path / "file"), imports)
    assert found["before"]
    if found["kept"] is not None:
        pytest.skip(f"this machine keeps the network: {found['kept']}")
    assert (found["after"], found["by_child"]) == (False, False)


def test_files_keep_their_owner(port: int, tmp_path: Any) -> None:
    found = tried(port, str(tmp_path / "file"))
    assert found["ids"] == [os.getuid(), os.getgid()] == found["owner"]


def test_where_the_network_is_kept_the_reason_is_said_and_nothing_breaks(port: int, tmp_path: Any) -> None:
    """A container's policy, or threads that run already: a sentence's worth of reason, and no exception."""
    refuse = "import ctypes\nclass No:\n    def __getattr__(self, name): return lambda *a: -1\n"
    refuse += "ctypes.CDLL = lambda *a, **k: No()\nctypes.get_errno = lambda: 1\n"
    found = tried(port, str(tmp_path / "file"), before=refuse)
    assert found["kept"] == os.strerror(1)
    assert found["after"]


COUNT = """
import os, runpy, sys
import export.isolation
def count():
    print(len(os.listdir("/proc/self/task")))
    os._exit(0)
sys.stdout.reconfigure(line_buffering=True)
export.isolation.leave_network = count
sys.argv = ["export.step", "verify", "words", "onnx", "--directory", "."]
runpy.run_module("export.step", run_name="__main__")
"""


def test_a_step_has_one_thread_when_it_leaves_the_network() -> None:
    """An own user namespace, which a person who is not root needs, is refused to a process of several threads; numpy's
    BLAS starts them when it is imported."""
    result = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=ROOT, capture_output=True, text=True, timeout=60, env={**os.environ, **QUIET}
    )
    assert result.stdout.strip() == "1", result.stderr
