"""python -m loadtest: plan a run, drive every endpoint through its stages with Locust, keep one record per request."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from contract.cli import Parser, add_common, run, workspace_of
from contract.config import read_config
from contract.cores import on_cores
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError, nearest
from contract.events import append_event, read_events
from contract.files import read_model, write_json
from contract.machine import this_machine, versions
from contract.progress import Bar
from contract.records import Plan, golden_name
from contract.workspace import Workspace
from loadtest.driving import drive
from loadtest.planning import make_plan, seconds
from loadtest.residency import Residency

PACKAGES = ["locust", "gevent", "geventhttpclient", "grpcio", "tritonclient", "pyarrow", "numpy"]


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
            drive(variant, results, workspace.live, bar)
            bar.advance(seconds(variant) - (time.monotonic() - before))


if __name__ == "__main__":
    run(main)
