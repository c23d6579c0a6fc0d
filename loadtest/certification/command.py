"""python -m loadtest certify: what the load generator itself can do, measured for every kind of endpoint that is up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from contract.certificate import MOST_CLIENT_CPU, CeilingOf, Certificate
from contract.cli import Parser, add_common, workspace_of
from contract.config import read_config
from contract.endpoints import Endpoints
from contract.files import read_model
from loadtest.certification.store import certificates_for
from loadtest.group import of_group
from loadtest.master.residency import Residency
from loadtest.options import chosen_endpoints
from loadtest.plan.admission import refuse_foreign

WHOSE: dict[CeilingOf, str] = {
    "client": "",
    "null server": ", the null server's: the client's own lies higher",
    "machine": ", what other work on the machine left",
}


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    config, workspace = read_config(options.config), workspace_of(options)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    chosen = of_group(chosen_endpoints(endpoints, options.variant), config, options.group)
    refuse_foreign([endpoint.address for endpoint in chosen], options.allow_host)
    with closing(Residency(endpoints)) as residency:
        ready = residency.make_room_for
        found = certificates_for(chosen, workspace, config, ready, again=options.again, tls=options.tls)
    if options.json:
        print(found.model_dump_json(indent=2))
    else:
        print("\n".join(line(certificate) for certificate in found.certificates.values()))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m loadtest certify",
        description="Measure the load generator against servers that do nothing: its ceiling, and what it adds.",
    )
    add_common(parser, served=True)
    parser.add_argument("--variant", action="append", default=[], help="only for this endpoint (may be given again)")
    parser.add_argument("--allow-host", action="append", default=[], help="this host beyond loopback may be asked")
    parser.add_argument("--tls", action="store_true", help="under TLS, though [client] does not say so")
    parser.add_argument("--again", action="store_true", help="measure anew what was measured before")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    return parser


def line(certificate: Certificate) -> str:
    """A certificate in one line, for a person at a terminal."""
    setting, added = certificate.setting, certificate.added
    whose = WHOSE[certificate.ceiling_of]
    protocol = f"{setting.protocol}{' under TLS' if setting.client.tls else ''}"
    return (
        f"{protocol}, requests <= {setting.request_class} B, answers <= {setting.answer_class} B: "
        f"ceiling {certificate.ceiling_rps:,.0f} requests/s in a closed loop of {setting.concurrency} users{whose} "
        f"(client {certificate.client_cpu:.0%}, null server {certificate.server_cpu:.0%} of a core)"
        f"{_opened(certificate)}; "
        f"open loops are trusted up to {certificate.trusted_rps:,.0f} and {MOST_CLIENT_CPU:.0%} of a core per process; "
        f"adds {added.p50_ms:.2f} ms at p50, {added.p99_ms:.2f} ms at p99"
    )


def _opened(certificate: Certificate) -> str:
    opened = certificate.open_ceiling
    if opened is None:
        return ", in an open loop unknown"
    return (
        f", {opened.rps:,.0f} in an open loop{WHOSE[opened.of]} "
        f"(client {opened.client_cpu:.0%}, null server {opened.server_cpu:.0%})"
    )
