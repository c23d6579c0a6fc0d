"""The certificates of a run, and the few sentences that the report says about them. Nothing is claimed without one."""

from __future__ import annotations

from pathlib import Path

from contract.certificate import MOST_CLIENT_CPU, CeilingOf, Certificate, Certificates
from contract.files import read_model
from contract.records import Plan
from report.figures.origin import Origin
from report.words import PROTOCOLS, number

NAME = "certificate.json"
NOBODY_DID = "run 'python -m loadtest certify'"
ELSEWHERE = "these load processes are on other machines, of which this one's ceiling says nothing"
BY_HAND = "these load processes joined by hand; those that the run starts itself (--processes) are measured first"
NOT_CERTIFIED = (
    "The load generator was not certified, so nobody knows what it can do at most, nor what it adds to a latency: "
    "{why}."
)
NO_OPEN_CEILING = (
    "of an open loop, whose requests cost more, it is not known ('python -m loadtest certify --again' on a quiet "
    "machine finds it)"
)
LIMITS: dict[CeilingOf, str] = {
    "client": "is {rate} requests/s",
    "null server": "is above {rate} requests/s, where the null server was the limit",
    "machine": "was {rate} requests/s beside other work on the machine",
}


def read_certificates(results: Path) -> Certificates:
    """The certificates that hold for a run; none where the run has no such file. Raises UsageError for a broken one."""
    path = results / NAME
    if not path.is_file():
        return Certificates(schema_version=1, certificates={}, endpoints={})
    return read_model(path, Certificates, "make loadtest")


def uncertified(plan: Plan, origin: Origin) -> str:
    """Why a run has no certificate, if it has none."""
    if plan.processes:
        return NOBODY_DID
    return ELSEWHERE if origin.elsewhere else BY_HAND


def sentences(certificates: Certificates, why: str = NOBODY_DID) -> list[str]:
    """One sentence per certificate, in the order of protocol and sizes; or the one that says ``why`` there is none."""
    known = certificates.certificates.values()
    ordered = sorted(known, key=lambda item: (item.setting.protocol, item.request_bytes, item.answer_bytes))
    return [sentence(item) for item in ordered] or [NOT_CERTIFIED.format(why=why)]


def sentence(certificate: Certificate) -> str:
    """What the load generator can do with one kind of request, and what it adds."""
    setting, added = certificate.setting, certificate.added
    protocol = f"{PROTOCOLS[setting.protocol]}{' under TLS' if setting.client.tls else ''}"
    processes = "one load process" if setting.processes == 1 else f"{setting.processes} load processes"
    limit = LIMITS[certificate.ceiling_of].format(rate=number(certificate.ceiling_rps))
    return (
        f"{protocol}, requests of {certificate.request_bytes:,} and answers of "
        f"{certificate.answer_bytes:,} bytes: the ceiling of {processes} in a closed loop of {setting.concurrency} "
        f"users {limit}; {_in_open_loop(certificate)}. To a known delay of "
        f"{number(added.server_p50_ms)} ms it adds {number(added.p50_ms)} ms at the median and "
        f"{number(added.p99_ms)} ms at p99, of which {number(added.sent_late_p50_ms)} and "
        f"{number(added.sent_late_p99_ms)} ms are late sends ({added.requests:,} requests at {added.rate:g}/s)."
    )


def _in_open_loop(certificate: Certificate) -> str:
    """Its ceiling there, and what is trusted: a rate up to which it holds, and never a load process that is busier."""
    opened = certificate.open_ceiling
    own = f"in an open loop it {LIMITS[opened.of].format(rate=number(opened.rps))}" if opened else NO_OPEN_CEILING
    return (
        f"{own}; an open loop is trusted up to {number(certificate.trusted_rps)} requests/s while no load process "
        f"uses over {MOST_CLIENT_CPU:.0%} of a core"
    )
