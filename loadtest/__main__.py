"""python -m loadtest: plan a run, drive every endpoint through its stages with Locust, keep one record per request."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from contract.cli import Parser, add_common, run, workspace_of
from contract.config import read_config
from contract.endpoints import Endpoints
from contract.errors import UsageError
from contract.files import read_model
from contract.progress import say
from contract.table import choose
from loadtest.certification.of_run import certify_run
from loadtest.driving import drive, total_seconds
from loadtest.group import missed_in_group, of_group
from loadtest.interruption import kept
from loadtest.launching import MASTER_PORT
from loadtest.options import chosen_endpoints, overridden
from loadtest.plan.preparing import prepare
from loadtest.showing.view import Watching
from loadtest.watching.around import watched

COMMANDS = {"certify": "loadtest.certification.command:main", "worker": "loadtest.joining:main"}


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        command: Callable[[Sequence[str]], int] = choose(COMMANDS, arguments[0], "command")
        return command(arguments[1:])
    options = _options(arguments)
    config, workspace = read_config(options.config), workspace_of(options)
    config = config.model_copy(update={"load": overridden(config.load, options.max_rps, options.processes)})
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    chosen = of_group(chosen_endpoints(endpoints, options.variant), config, options.group)
    endpoints = missed_in_group(endpoints, config, options.group)
    allowed, joining = options.allow_host, options.workers > 0
    typed = ["python", "-m", "loadtest", *arguments]
    plan, results = prepare(config, workspace, endpoints, chosen, options.plan, allowed, joining=joining, command=typed)
    if joining:
        say("not certified: only load processes that this command starts (--processes) are measured themselves")
    elif not options.uncertified:
        most = max((stage.concurrency or 0 for item in plan.variants for stage in item.stages), default=0) or None
        certify_run(config, workspace, endpoints, chosen, results, most)
    try:
        with watched(config, workspace, plan, results), Watching("load", total_seconds(plan)) as view:
            drive(plan, results, workspace.live, view, workers=options.workers, bind=(options.bind, options.port))
    except KeyboardInterrupt:
        say(kept(plan, results))
        raise
    print(results)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    options = _parser().parse_args(arguments)
    if options.workers > 0 and options.processes is not None:
        raise UsageError(
            f"--processes {options.processes} starts load processes here, --workers {options.workers} waits for "
            "others; give one of them ('python -m loadtest worker' has a --processes of its own)"
        )
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="python -m loadtest",
        description="Put every running endpoint under load.",
        epilog="python -m loadtest certify: measure the load generator itself; "
        "python -m loadtest worker: lend this machine to a master",
    )
    add_common(parser, served=True)
    parser.add_argument("--variant", action="append", default=[], help="only this endpoint (may be given again)")
    parser.add_argument("--plan", default="", help="a load plan: soak, overload, map, or one of models.toml")
    parser.add_argument("--processes", type=int, help="load processes on this machine, instead of [load] processes")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="load processes that are started by hand, here or on other machines, and join",
    )
    parser.add_argument("--bind", default="127.0.0.1", help="where the master waits for them")
    parser.add_argument("--port", type=int, default=MASTER_PORT, help="its port")
    parser.add_argument("--allow-host", action="append", default=[], help="this host beyond loopback may be loaded")
    parser.add_argument("--uncertified", action="store_true", help="do not measure the load generator itself first")
    parser.add_argument("--max-rps", type=float, help="never more requests per second than this")
    return parser


if __name__ == "__main__":
    run(main)
