"""python -m loadtest: plan a run, drive every endpoint through its stages with Locust, keep one record per request."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from contract.cli import Parser, add_common, run, workspace_of
from contract.config import ModelsFile, read_config
from contract.cores import on_cores
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError, nearest
from contract.events import append_event, read_events
from contract.files import read_model, write_json
from contract.load import Load
from contract.progress import Bar, say
from contract.records import Plan
from contract.table import choose
from contract.workspace import Workspace
from loadtest.certification.store import certificates_for
from loadtest.driving import drive, total_seconds
from loadtest.launching import MASTER_PORT
from loadtest.preparing import prepare
from loadtest.residency import Residency
from loadtest.watching.sampling import Sampler

COMMANDS = {"certify": "loadtest.certification.command:main", "worker": "loadtest.joining:main"}


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        command: Callable[[Sequence[str]], int] = choose(COMMANDS, arguments[0], "command")
        return command(arguments[1:])
    parser = Parser(
        prog="python -m loadtest",
        description="Put every running endpoint under load.",
        epilog="python -m loadtest certify: measure the load generator itself; "
        "python -m loadtest worker: lend this machine to a master",
    )
    add_common(parser)
    parser.add_argument("--variant", action="append", default=[], help="only this endpoint (may be given again)")
    parser.add_argument("--plan", default="", help="a load plan: soak, overload, map, or one of models.toml")
    parser.add_argument("--processes", type=int, help="load processes on this machine, instead of [load] processes")
    parser.add_argument("--workers", type=int, default=0, help="load processes that join from other machines")
    parser.add_argument("--bind", default="127.0.0.1", help="where the master waits for them")
    parser.add_argument("--port", type=int, default=MASTER_PORT, help="its port")
    parser.add_argument("--allow-host", action="append", default=[], help="this host beyond loopback may be loaded")
    parser.add_argument("--uncertified", action="store_true", help="do not measure the load generator itself first")
    parser.add_argument("--max-rps", type=float, help="never more requests per second than this")
    options = parser.parse_args(arguments)
    config, workspace = read_config(options.config), workspace_of(options)
    config = config.model_copy(update={"load": _overridden(config.load, options)})
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    chosen = _choose(endpoints, options.variant)
    plan, results = prepare(config, workspace, endpoints, chosen, options.plan, options.allow_host)
    if options.workers:
        say("not certified: the load comes from other machines, of which this one's ceiling says nothing")
    elif not options.uncertified:
        _certify(config, workspace, endpoints, plan, results)
    try:
        with (
            on_cores(config.affinity.load, "affinity.load"),
            Sampler(plan.servers, results, workspace.servers),
            Bar("load", total_seconds(plan)) as bar,
        ):
            drive(plan, results, workspace.live, bar, workers=options.workers, bind=(options.bind, options.port))
    finally:
        for event in read_events(workspace.events, since=plan.started):
            append_event(results / "events.jsonl", event)
    print(results)
    return 0


def _overridden(load: Load, options: argparse.Namespace) -> Load:
    """[load] with what the command line says instead."""
    if options.max_rps is not None and options.max_rps <= 0:
        raise UsageError(f"--max-rps is {options.max_rps:g}; it is a rate above 0")
    if options.processes is not None and options.processes < 1:
        raise UsageError(f"--processes is {options.processes}; it is a number of processes, 1 at least")
    said = {"max_rps": options.max_rps, "processes": options.processes}
    return load.model_copy(update={name: value for name, value in said.items() if value is not None})


def _certify(config: ModelsFile, workspace: Workspace, endpoints: Endpoints, plan: Plan, results: Path) -> None:
    """Write what holds for the load generator in this run; what is not known yet is measured."""
    chosen = [item.endpoint for item in plan.variants if item.repeat_of is None]
    most = max((stage.concurrency or 0 for item in plan.variants for stage in item.stages), default=0) or None
    with closing(Residency(endpoints)) as residency:
        found = certificates_for(chosen, workspace, config, residency.make_room_for, most, lenient=True)
    write_json(results / "certificate.json", found)


def _choose(endpoints: Endpoints, wanted: list[str]) -> list[Endpoint]:
    known = {endpoint.id: endpoint for endpoint in endpoints.endpoints}
    for name in wanted:
        if name not in known:
            raise UsageError(f"no endpoint '{name}' is up{nearest(name, list(known))}; up are: {', '.join(known)}")
    return [endpoint for key, endpoint in known.items() if not wanted or key in wanted]


if __name__ == "__main__":
    run(main)
