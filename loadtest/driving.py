"""A whole plan under Locust in a process of its own, watched until it has written its records."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from contract.children import python, shown
from contract.errors import LoadproofError, ServerError
from contract.progress import Bar, say
from contract.records import Plan
from loadtest.planning import seconds

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
PROGRESS = ".progress.json"  # which step is on: written by the master, read here, gone afterwards
LATE_S = 180.0
WAIT_S, WAIT_FOR_OTHERS_S = 60, 600  # for load processes to join
# libev's epoll waits in whole milliseconds, its select in microseconds: on an idle machine the median send is 0.65 ms
# late with the one and 0.17 ms with the other. Select ends at 1,024 descriptors.
PRECISE_LOOP = {"GEVENT_BACKEND": "select"}
MOST_SOCKETS = 900


MASTER_PORT = 5557  # Locust's own
HERE = ("127.0.0.1", MASTER_PORT)


def total_seconds(plan: Plan) -> float:
    """About how long a run takes."""
    return 3.0 + plan.rounds * sum(seconds(variant) for variant in plan.variants)


def drive(plan: Plan, results: Path, live: Path, bar: Bar, workers: int = 0, bind: tuple[str, int] = HERE) -> None:
    """Run Locust for a whole plan. Raises ServerError or LoadproofError when it failed.

    ``workers`` load processes are waited for at ``bind``, or as many as the plan says are started here.
    """
    log = results / "locust.log"
    command = python("locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--exit-code-on-error", "0")
    command += ["--stop-timeout", "3", "--loglevel", "WARNING", "--results", str(results), "--live", str(live)]
    command += _distribution(plan, workers, bind)
    environment = {**os.environ, "PYTHONPATH": str(LOCUSTFILE.parents[1]), "GRPC_VERBOSITY": "ERROR"}
    if max(stage.in_flight for item in plan.variants for stage in item.stages) < MOST_SOCKETS:
        environment |= PRECISE_LOOP
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = _watch(child, plan, results, bar)
        finally:
            _end(child)
            (results / PROGRESS).unlink(missing_ok=True)
    if code != 0:
        lines = log.read_text(errors="replace").strip().splitlines()[-10:]
        raise LoadproofError(
            f"Locust ended with code {code}; what was measured until then is kept; its last lines:\n"
            + "\n".join(f"  | {line}" for line in lines)
            + f"\nrepeat it with: {shown(command)}"
        )
    missing = [item.id for item in plan.variants if not (results / f"server-stats-{item.id}.json").is_file()]
    if missing:
        raise ServerError(f"nothing was recorded for {', '.join(missing)}; see {log}")


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


def _watch(child: subprocess.Popen[bytes], plan: Plan, results: Path, bar: Bar) -> int:
    limit_s = total_seconds(plan) * plan.attempts + LATE_S
    started = time.monotonic()
    shown = Shown(plan, bar)
    while (code := child.poll()) is None:
        time.sleep(0.1)
        shown.look(results / PROGRESS)
        if time.monotonic() - started > limit_s:
            raise LoadproofError(f"Locust did not end within {limit_s:.0f} s; it was stopped and its records are kept")
    return code


class Shown:
    """Where a run is, on a progress bar."""

    def __init__(self, plan: Plan, bar: Bar) -> None:
        self._plan = plan
        self._bar = bar
        self._text = ""
        self._at = (0, -1)  # round, variant
        self._base = 0.0  # where the step begins on the bar
        self._since = time.monotonic()

    def look(self, file: Path) -> None:
        """Move the bar to the step that the master has written down, and on with the time that it has been on."""
        try:
            text = file.read_text()
            step = json.loads(text)
        except (OSError, ValueError):
            return
        if text != self._text:
            self._text, self._since = text, time.monotonic()
            self._enter(step["round"], step["variant"], step["stage"])
        self._bar.move_to(self._base + time.monotonic() - self._since)

    def _enter(self, turn: int, variant: int, stage: int) -> None:
        plan = self._plan
        item = plan.variants[variant]
        lengths = [seconds(each) for each in plan.variants]
        begun = item.model_copy(update={"stages": item.stages[:stage]})
        self._base = 3.0 + (turn - 1) * sum(lengths) + sum(lengths[:variant]) + seconds(begun)
        if (turn, variant) != self._at:
            self._at = turn, variant
            which = f"round {turn}/{plan.rounds} " if plan.rounds > 1 else ""
            self._bar.note(f"{which}[{variant + 1}/{len(plan.variants)}] {item.id} ({lengths[variant]:.0f} s)")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Give the child time to write its records, then make sure that it is gone."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        say("the load process did not end by itself and was killed")
