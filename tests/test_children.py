"""Child processes: noise is left out, the last lines are kept, a signal is named, and no child outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from contract.children import LAST_LINES, NOISE, QUIET, Ended, python, run_child, shown


def child(body: str) -> Ended:
    return run_child([sys.executable, "-c", textwrap.dedent(body)], echo=False)


def test_a_child_ends_with_its_code_and_its_lines() -> None:
    ended = child("""
        import sys
        print("to stdout", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        sys.exit(5)
    """)
    assert ended == Ended(5, ["to stdout", "to stderr"])


def test_only_the_last_lines_are_kept() -> None:
    ended = child(f"for n in range({LAST_LINES + 30}): print('line', n)")
    assert ended.code == 0
    assert ended.lines == [f"line {n}" for n in range(30, LAST_LINES + 30)]


def test_noise_and_empty_lines_are_left_out() -> None:
    noise = [
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "2026-01-01 I external/local_xla/xla/tsl/cuda/cudart_stub.cc:31] Could not find cuda drivers",
        "2026-01-01 E external/local_xla/xla/stream_executor/cuda/cuda_executor.cc:1228] INTERNAL: failed call",
        "2026-01-01 I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.",
        "2026-01-01 I tensorflow/core/platform/cpu_feature_guard.cc:210] This TensorFlow binary is optimized",
        "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
        "WARNING computation_placer.cc:177] computation placer already registered",
        "2026-01-01 E cuda_platform.cc:51] failed call to cuInit",
        "", "   ",
    ]  # fmt: skip
    ended = child(f"print('first')\nfor line in {noise!r}: print(line)\nprint('last')")
    assert ended.lines == ["first", "last"]
    assert len(noise) - 2 == len(NOISE)


@pytest.mark.parametrize(
    "line",
    [
        "E0000 src/core/ext/transport/chttp2/transport/chttp2_transport.cc:1013] GOAWAY received",
        "torch/csrc/jit/serialization/export.cc:12: cannot export operator",
        "RuntimeError at report.cc:7",
    ],
)
def test_a_line_that_only_resembles_noise_is_kept(line: str) -> None:
    assert child(f"print({line!r})").lines == [line]


def test_lines_are_passed_on_to_stderr_only_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "print('hello')"]
    run_child(command, echo=False)
    assert capfd.readouterr().err == ""
    run_child(command, echo=True)
    captured = capfd.readouterr()
    assert captured.err == "hello\n"
    assert captured.out == ""


def test_bytes_that_are_no_text_do_not_end_the_reading() -> None:
    ended = child("import os; os.write(1, b'before \\xff after\\nnext\\n')")
    assert len(ended.lines) == 2
    assert ended.lines[0].startswith("before ") and ended.lines[0].endswith(" after")
    assert ended.lines[1] == "next"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_by_signal_is_named(number: signal.Signals) -> None:
    ended = child(f"import os; print('working', flush=True); os.kill(os.getpid(), {int(number)})")
    assert ended.code == -number
    assert ended.lines == ["working"]
    assert ended.reason.startswith(f"killed by signal {int(number)}")


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Ended(2, ["first", "error: no such file; name another"]), "no such file; name another"),
        (Ended(1, ["Traceback (most recent call last):", "ValueError: boom"]), "ValueError: boom"),
        (Ended(3, []), "exit code 3"),
        (Ended(-11, ["about to crash"]), "killed by signal 11"),
    ],
)
def test_the_reason_is_the_last_line_or_the_code_or_the_signal(ended: Ended, reason: str) -> None:
    assert ended.reason.startswith(reason)


def test_a_child_runs_with_quiet_frameworks_and_the_parent_s_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADPROOF_TEST", "kept")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    ended = child(f"import os; print([os.environ.get(name) for name in {['LOADPROOF_TEST', *QUIET]}])")
    assert ended.lines == [str(["kept", *QUIET.values()])]


def test_a_command_is_shown_as_a_person_would_type_it() -> None:
    assert python("export.step", "--model", "m") == [sys.executable, "-m", "export.step", "--model", "m"]
    assert shown(python("export.step", "--name", "two words")) == "python -m export.step --name 'two words'"


def ended_within(pid: int, seconds: float) -> bool:
    """Wait for a process that is not ours by its descriptor: no polling, and a reused pid is no answer."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


PARENT = """
    import sys
    from contract.children import run_child
    from contract.cli import run
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    run(lambda _: run_child([sys.executable, "-c", child], echo=True).code)
"""


@pytest.fixture
def parent(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command that waits for a child that would take ten minutes, and the pid of that child."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)], cwd=request.config.rootpath, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    grandchild = int(process.stderr.readline())
    try:
        yield process, grandchild
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        if not ended_within(grandchild, 0):
            os.kill(grandchild, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_is_ended_when_its_parent_is_interrupted(
    parent: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, grandchild = parent
    process.send_signal(number)
    assert process.wait(timeout=20) == 130
    assert ended_within(grandchild, 20)


def test_a_child_that_ignores_the_polite_request_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""
    pids: list[int] = []

    def interrupt(text: str) -> None:
        pids.append(int(text))
        raise KeyboardInterrupt

    wait = subprocess.Popen.wait

    def impatient(self: subprocess.Popen[str], timeout: float | None = None) -> int:
        return wait(self, timeout=None if timeout is None else min(timeout, 0.2))

    monkeypatch.setattr("contract.children.say", interrupt)
    monkeypatch.setattr(subprocess.Popen, "wait", impatient)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", body])
    assert ended_within(pids[0], 0)
    assert time.monotonic() - started < 5
