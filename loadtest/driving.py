"""One variant through its stages: Locust in a process of its own, watched until it has written its records."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from contract.children import python, shown
from contract.errors import LoadproofError, ServerError
from contract.progress import Bar, say
from contract.records import VariantPlan
from loadtest.planning import seconds

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LATE_S = 180.0
# libev's epoll waits in whole milliseconds, its select in microseconds: on an idle machine the median send is 0.65 ms
# late with the one and 0.17 ms with the other. Select ends at 1,024 descriptors.
PRECISE_LOOP = {"GEVENT_BACKEND": "select"}
MOST_SOCKETS = 900


def drive(variant: VariantPlan, results: Path, live: Path, bar: Bar) -> None:
    """Run Locust for one variant in a process of its own. Raises ServerError or LoadproofError when it failed."""
    log = results / f"locust-{variant.id}.log"
    command = python("locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--exit-code-on-error", "0")
    command += ["--stop-timeout", "3", "--loglevel", "WARNING"]
    command += ["--results", str(results), "--live", str(live), "--variant", variant.id]
    environment = {**os.environ, "PYTHONPATH": str(LOCUSTFILE.parents[1]), "GRPC_VERBOSITY": "ERROR"}
    if sum(stage.in_flight for stage in variant.stages) < MOST_SOCKETS:
        environment |= PRECISE_LOOP
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = _watch(child, seconds(variant) + LATE_S, bar)
        finally:
            _end(child)
    if code != 0:
        lines = log.read_text(errors="replace").strip().splitlines()[-10:]
        raise LoadproofError(
            f"Locust ended with code {code} while driving {variant.id}; its last lines:\n"
            + "\n".join(f"  | {line}" for line in lines)
            + f"\nrepeat it with: {shown(command)}"
        )
    if not (results / f"server-stats-{variant.id}.json").is_file():
        raise ServerError(f"nothing was recorded for {variant.id}; see {log}")


def _watch(child: subprocess.Popen[bytes], limit_s: float, bar: Bar) -> int:
    started = last = time.monotonic()
    while (code := child.poll()) is None:
        time.sleep(0.1)
        now = time.monotonic()
        bar.advance(now - last)
        last = now
        if now - started > limit_s:
            raise LoadproofError(f"Locust did not end within {limit_s:.0f} s; it was stopped and its records are kept")
    return code


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
