"""python -m tune search: the highest rate under the objectives, for every endpoint that is up.

The run's folder is one like any other, with ``search.json`` beside the records; `python -m report` judges it. It is
written anew after every step, so that an interrupted search keeps what it has found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contract.certificate import Certificates
from contract.cli import Parser, add_common, workspace_of
from contract.config import read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import ServerError, UsageError
from contract.files import read_model
from contract.progress import say
from contract.records import Plan, VariantPlan
from loadtest.certification.of_run import certify_run
from loadtest.group import missed_in_group, of_group
from loadtest.interruption import kept
from loadtest.options import chosen_endpoints, overridden
from loadtest.plan.preparing import prepare
from loadtest.session import Session
from loadtest.watching.around import watched
from report.__main__ import main as judge
from tune.search.budget import expected_seconds, fitting
from tune.search.max_rate import MaxRate
from tune.search.method import Method
from tune.search.seeking import Seeker
from tune.search.span import Top
from tune.search.turns import seek
from tune.search.view import SearchView

NAME = "search"
OF_TRUSTED = 0.97  # random arrivals of a window may be somewhat more than their rate
FINEST, COARSEST = 0.005, 0.5
NONE = Certificates(schema_version=1, certificates={}, endpoints={})


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    method = _method(options.resolution, options.probe_s, options.confirm_s)
    config, workspace = read_config(options.config), workspace_of(options)
    config = config.model_copy(update={"load": overridden(config.load, options.max_rps)})
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    chosen = of_group(_chosen(endpoints, options.variant), config, options.group)
    endpoints = missed_in_group(endpoints, config, options.group)
    repeats = any(item.engine_kind == "real" for item in chosen)  # the first real one is sought twice: the noise
    method = fitting(method, len(chosen) + repeats, options.budget_s)
    allowed, typed = options.allow_host, ["python", "-m", "tune", NAME, *arguments]
    plan, results = prepare(config, workspace, endpoints, chosen, allowed_hosts=allowed, asked=NAME, command=typed)
    certificates = NONE
    if not options.uncertified:
        certificates = certify_run(config, workspace, endpoints, chosen, results, max(method.users))
    seekers = [_seeker(item, method, plan, certificates, results, config.load.in_flight) for item in plan.variants]
    try:
        with (
            watched(config, workspace, plan, results),
            SearchView(seekers, expected_seconds(method, len(seekers))) as view,
            Session(plan, results, workspace.live, view) as session,
        ):
            seek(seekers, session, method, results, plan.loads, options.budget_s, view)
    except KeyboardInterrupt:
        say(kept(plan, results))
        raise
    if all(seeker.failure for seeker in seekers):
        raise ServerError(f"nothing was measured: {seekers[0].failure}; see {results / 'locust.log'}")
    return judge([str(results), "--workspace", str(workspace.root), *(["--json"] if options.json else [])])


def _parser() -> Parser:
    default = Method()
    parser = Parser(
        prog="python -m tune search",
        description="Find the highest rate that keeps the objectives, for every endpoint that is up.",
    )
    add_common(parser, served=True)
    parser.add_argument("--variant", action="append", default=[], help="only this endpoint (may be given again)")
    parser.add_argument("--resolution", type=float, default=default.resolution, help="of the answer, relative")
    parser.add_argument("--probe-s", type=float, default=default.probe_s, help="longest window of a probe")
    parser.add_argument("--confirm-s", type=float, default=default.confirm_s, help="window of a confirmation")
    parser.add_argument(
        "--budget-s",
        type=float,
        help="seconds, a target and no limit: windows are shortened so that all takes about so long, and near its "
        "end only confirmations are made; those that have to be made again may take longer",
    )
    parser.add_argument("--allow-host", action="append", default=[], help="this host beyond loopback may be loaded")
    parser.add_argument("--max-rps", type=float, help="never more requests per second than this")
    parser.add_argument("--uncertified", action="store_true", help="do not measure the load generator itself first")
    parser.add_argument("--json", action="store_true", help="print report.json instead of the table")
    return parser


def _method(resolution: float, probe_s: float, confirm_s: float) -> Method:
    if not FINEST <= resolution <= COARSEST:
        raise UsageError(f"--resolution is {resolution:g}; it is a share from {FINEST:g} to {COARSEST:g}")
    method = Method(resolution=resolution, probe_s=probe_s, confirm_s=confirm_s)
    if probe_s < method.shortest_s or confirm_s < method.shortest_s:
        raise UsageError(
            f"--probe-s is {probe_s:g} and --confirm-s {confirm_s:g}; a window of less than {method.shortest_s:g} s "
            "says nothing"
        )
    return method


def _chosen(endpoints: Endpoints, wanted: Sequence[str]) -> list[Endpoint]:
    """The endpoints that are named; where none is, all but the embedded ones, which are never ranked."""
    chosen = chosen_endpoints(endpoints, wanted)
    if wanted:
        return chosen
    left_out = [item.id for item in chosen if item.engine_kind == "embedded"]
    if left_out:
        say(f"left out, because embedded stand-ins are never ranked: {', '.join(left_out)}; --variant searches them")
    if len(left_out) == len(chosen):
        raise UsageError("every endpoint that is up is embedded; name those to search with --variant")
    return [item for item in chosen if item.engine_kind != "embedded"]


def _seeker(
    item: VariantPlan, method: Method, plan: Plan, certificates: Certificates, results: Path, in_flight: int
) -> Seeker:
    certificate = certificates.of(item.endpoint.id)
    tops = [Top(plan.max_rps, "range")] if plan.max_rps else []
    if certificate is not None:
        tops.append(Top(round(OF_TRUSTED * certificate.trusted_rps, 1), "load generator"))
    search = MaxRate(item.endpoint.slo, method, tops)
    return Seeker(item, search, results, method.warmup_s, in_flight)
