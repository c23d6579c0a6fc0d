"""One Locust, in a process of its own, for the folder of one run: how it is started, ended, and why it failed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType

from contract.children import python, shown
from contract.errors import LoadproofError
from contract.progress import say
from contract.records import Plan
from loadtest.showing.live import FILE

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
PROGRESS = ".progress.json"  # which step is on: written by the master, gone afterwards
LAST_LINES = 10
TABLES = "Type     Name"  # what Locust prints at its end begins with it
END_S, PAUSE_S = 10.0, 0.02
WAIT_S, WAIT_FOR_OTHERS_S = 60, 600  # for load processes to join
# libev's epoll waits in whole milliseconds, its select in microseconds: on an idle machine the median send is 0.65 ms
# late with the one and 0.17 ms with the other. Select ends at 1,024 descriptors.
PRECISE_LOOP = {"GEVENT_BACKEND": "select"}
MOST_SOCKETS = 900

# A master asks its load processes whether they have the users that a step wants after waiting a second in vain for them
# to tell by themselves, which they do every three.
QUICK_USERS = {"LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP": "0.01"}

MASTER_PORT = 5557  # Locust's own
HERE = ("127.0.0.1", MASTER_PORT)


class Locust:
    """``with Locust(...) as locust: ...`` runs it; what still runs at the block's end is ended, its records written.

    ``workers`` load processes are waited for at ``bind``, or as many as the plan says are started here. With ``asked``
    its steps are not the plan's, but what is asked for in ``results`` (`loadtest/master/asking.py`). ``sockets`` is
    how many requests a stage has in flight at most. ``watched``: it says how the stage goes that is on
    (`loadtest/showing/live.py`).
    """

    def __init__(
        self,
        plan: Plan,
        results: Path,
        live: Path,
        sockets: int,
        asked: bool = False,
        workers: int = 0,
        bind: tuple[str, int] = HERE,
        watched: bool = False,
    ) -> None:
        self.log = results / "locust.log"
        self._fleeting = [results / PROGRESS, results / FILE]
        self._command = python("locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary")
        self._command += ["--exit-code-on-error", "0", "--stop-timeout", "3", "--loglevel", "WARNING"]
        self._command += ["--results", str(results), "--live", str(live), "--parent", str(os.getpid())]
        self._command += [*(["--asked"] if asked else []), *(["--watched"] if watched else [])]
        self._command += _distribution(plan, workers, bind)
        self._environment = {"PYTHONPATH": str(LOCUSTFILE.parents[1]), "GRPC_VERBOSITY": "ERROR", **QUICK_USERS}
        if sockets < MOST_SOCKETS:
            self._environment |= PRECISE_LOOP

    def __enter__(self) -> Locust:
        with self.log.open("wb") as output:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
                process_group=0,  # with its load processes, so that all of them can be ended; Ctrl-C comes as SIGTERM
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it time to write its records, then make sure that it is gone."""
        try:
            if self._child.poll() is None:
                self._child.terminate()
                self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            say("the load process did not end by itself and was killed")
        finally:
            if self._child.poll() is None:
                self._child.kill()
                self._child.wait()
            self._end_group()
            for file in self._fleeting:
                file.unlink(missing_ok=True)

    def _end_group(self) -> None:
        """End the load processes of a master that was killed: they would wait a minute for another."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + END_S
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
                while time.monotonic() < until:
                    os.killpg(self._child.pid, 0)
                    time.sleep(PAUSE_S)

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._child.poll()

    def failure(self) -> LoadproofError:
        """Why it ended, by its last lines."""
        told = takewhile(lambda line: not line.startswith(TABLES), self.log.read_text(errors="replace").splitlines())
        lines = [line for line in told if line.strip()][-LAST_LINES:]
        return LoadproofError(
            f"Locust ended with code {self.code()}; what was measured until then is kept; its last lines:\n"
            + ("\n".join(f"  | {line}" for line in lines) or "  none: it was killed, or stopped by somebody else")
            + f"\nrepeat it with: {shown(self._command)}"
        )


def _distribution(plan: Plan, workers: int, bind: tuple[str, int]) -> list[str]:
    """Locust's flags for more than one load process. A master listens on loopback unless somebody else is to join."""
    if workers:
        host, port = bind
        say(f"waiting for {workers} load processes: python -m loadtest worker --master {host} --port {port}")
        wait = ["--expect-workers", str(workers), "--expect-workers-max-wait", str(WAIT_FOR_OTHERS_S)]
        return ["--master", *wait, "--master-bind-host", host, "--master-bind-port", str(port)]
    if plan.processes > 1:
        free = str(_free_port())
        at = ["--master-bind-host", "127.0.0.1", "--master-bind-port", free]
        to = ["--master-host", "127.0.0.1", "--master-port", free, "--expect-workers-max-wait", str(WAIT_S)]
        return ["--processes", str(plan.processes), *at, *to]
    return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
