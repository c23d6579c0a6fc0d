"""python -m loadtest: plan a run, drive every endpoint through its stages with Locust, keep one record per request."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from contract.children import python, shown
from contract.cli import Parser, add_common, run, workspace_of
from contract.config import read_config
from contract.cores import on_cores
from contract.endpoints import Endpoint, Endpoints
from contract.errors import LoadproofError, ServerError, UsageError, nearest
from contract.events import append_event, read_events
from contract.files import read_model, write_json
from contract.machine import this_machine, versions
from contract.progress import Bar, say
from contract.records import Plan, VariantPlan, golden_name
from contract.workspace import Workspace
from loadtest.planning import make_plan, seconds
from loadtest.residency import Residency

PACKAGES = ["locust", "gevent", "geventhttpclient", "grpcio", "tritonclient", "pyarrow", "numpy"]
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LATE_S = 180.0
# libev's epoll waits in whole milliseconds, its select in microseconds: on an idle machine the median send is 0.65 ms
# late with the one and 0.17 ms with the other. Select ends at 1,024 descriptors.
PRECISE_LOOP = {"GEVENT_BACKEND": "select"}
MOST_SOCKETS = 900


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m loadtest", description="Put every running endpoint under load.")
    add_common(parser)
    parser.add_argument("--variant", action="append", default=[], help="only this endpoint (may be given again)")
    options = parser.parse_args(arguments)
    config, workspace = read_config(options.config), workspace_of(options)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    chosen = _choose(endpoints, options.variant)
    now = datetime.now(UTC)
    plan = make_plan(
        _free_id(workspace, now),
        now.isoformat(timespec="seconds"),
        config.load,
        endpoints,
        chosen,
        this_machine(),
        versions(PACKAGES),
    )
    results = workspace.results / plan.id
    write_json(results / "plan.json", plan)
    _check_inputs(workspace, chosen)
    for endpoint in chosen:  # so that the answers can be judged from the results alone
        shutil.copyfile(workspace.root / endpoint.golden, results / golden_name(endpoint))
    _point_latest(results)
    try:
        with on_cores(config.affinity.load, "affinity.load"):
            _drive_all(plan, results, workspace, Residency(endpoints))
    finally:
        for event in read_events(workspace.events, since=plan.started):
            append_event(results / "events.jsonl", event)
    print(results)
    return 0


def _check_inputs(workspace: Workspace, chosen: list[Endpoint]) -> None:
    for endpoint in chosen:
        for needed in (workspace.root / endpoint.golden, workspace.live / endpoint.payloads / "index.json"):
            if not needed.is_file():
                raise UsageError(f"{needed} is gone; run 'make export serve' again")


def _choose(endpoints: Endpoints, wanted: list[str]) -> list[Endpoint]:
    known = {endpoint.id: endpoint for endpoint in endpoints.endpoints}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no endpoint '{name}' is up{nearest(name, list(known))}; up are: {', '.join(known)}")
    return [endpoint for key, endpoint in known.items() if not wanted or key in wanted]


def _free_id(workspace: Workspace, now: datetime) -> str:
    base = now.strftime("%Y%m%d-%H%M%S")
    number, name = 1, base
    while (workspace.results / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def _point_latest(results: Path) -> None:
    link = results.with_name("latest")
    temporary = results.with_name(f".latest-{os.getpid()}")
    temporary.symlink_to(results.name)
    temporary.replace(link)


def _drive_all(plan: Plan, results: Path, workspace: Workspace, residency: Residency) -> None:
    total = sum(seconds(variant) for variant in plan.variants)
    with Bar("load", total) as bar, closing(residency):
        for number, variant in enumerate(plan.variants, 1):
            what = f"[{number}/{len(plan.variants)}] {variant.id}"
            bar.note(f"{what} ({seconds(variant):.0f} s)")
            before = time.monotonic()
            residency.make_room_for(variant.endpoint.model)
            _drive(variant, results, workspace, bar)
            bar.advance(seconds(variant) - (time.monotonic() - before))


def _drive(variant: VariantPlan, results: Path, workspace: Workspace, bar: Bar) -> None:
    """Run Locust for one variant in a process of its own. Raises ServerError or LoadproofError when it failed."""
    log = results / f"locust-{variant.id}.log"
    command = python("locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--exit-code-on-error", "0")
    command += ["--stop-timeout", "3", "--loglevel", "WARNING"]
    command += ["--results", str(results), "--live", str(workspace.live), "--variant", variant.id]
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


if __name__ == "__main__":
    run(main)
