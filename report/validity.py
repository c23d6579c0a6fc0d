"""VALID or INVALID first: each constraint is one line, and one that fails comes with a recommendation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.certificate import MOST_OF_CEILING, CeilingOf
from contract.records import Mode
from contract.slo import Slo
from contract.statistics import Floats, least_samples
from contract.trust import MOST_LATE_SHARE, STEADY_WITHIN, late_limit_ms, spread
from contract.verdict import Check
from report.certificate import NOBODY_DID

MOST_ERRORS = 0.05
MOST_CLIENT_CPU = 0.8
LEAST_ACHIEVED = 0.95
WHOSE: dict[CeilingOf, str] = {
    "client": "",
    "null server": " (the ceiling is the null server's: the client's is higher)",
    "machine": " (the ceiling is what other work on the machine left: certify again when it is quiet)",
}


@dataclass(frozen=True)
class StageFacts:
    """What the constraints look at. Times in milliseconds; ``good_done_s`` are seconds since the window's start.

    ``ceiling_rps`` is what the load generator can do at most (requests per second), None where it was not certified,
    and then ``uncertified`` says why.
    """

    mode: Mode
    duration_s: float
    requests: int
    failed: int
    sent_late_ms: Floats
    good_done_s: Floats
    client_cpu: float
    answers_checked: int
    wrong_answers: int
    wrong_reason: str | None
    ceiling_rps: float | None = None
    ceiling_of: CeilingOf = "client"
    uncertified: str = NOBODY_DID
    lost: Sequence[str] = ()  # load processes, or users of a closed loop, that were not there
    aborted: bool = False


def check(facts: StageFacts, slo: Slo) -> list[Check]:
    """All constraints of a stage, in the order in which a person would ask."""
    checks = [_samples(facts), _errors(facts), _answers(facts)]
    if facts.lost or facts.aborted:
        checks.append(_whole(facts))
    if facts.mode == "open":
        checks += [_on_time(facts, slo), _kept_up(facts), _client(facts)]
    else:
        checks.append(_steady(facts))
    return checks


def _samples(facts: StageFacts) -> Check:
    needed = least_samples(0.99)
    return Check(
        name="samples for p99",
        passed=facts.requests >= needed,
        detail=f"{facts.requests} requests, at least {needed} needed",
        recommendation=None if facts.requests >= needed else "raise duration_s (or the rate) in models.toml",
    )


def _errors(facts: StageFacts) -> Check:
    share = facts.failed / facts.requests if facts.requests else 1.0
    passed = share <= MOST_ERRORS
    return Check(
        name="error rate",
        passed=passed,
        detail=f"{share:.2%} of the requests failed, at most {MOST_ERRORS:.0%} allowed",
        recommendation=None if passed else "look into the server's log: latencies of the survivors would mislead",
    )


def _answers(facts: StageFacts) -> Check:
    passed = facts.answers_checked > 0 and facts.wrong_answers == 0
    detail = f"{facts.wrong_answers} of {facts.answers_checked} sampled answers differ from the trained model's"
    if facts.wrong_reason:
        detail += f" ({facts.wrong_reason})"
    return Check(
        name="answers",
        passed=passed,
        detail=detail,
        recommendation=None
        if passed
        else "a fast wrong answer is worth nothing: compare with 'make serve', which proves endpoints",
    )


def _whole(facts: StageFacts) -> Check:
    """Only asked where it is not: nothing was lost in almost every run."""
    if facts.lost:
        detail = f"{', '.join(facts.lost)} of the load generator were lost, so less was sent than planned"
        return Check(name="whole", passed=False, detail=detail, recommendation="see locust.log, and measure again")
    detail = "so many of the last requests failed that nothing more was sent"
    return Check(name="whole", passed=False, detail=detail, recommendation="look into the server's log first")


def _on_time(facts: StageFacts, slo: Slo) -> Check:
    limit = late_limit_ms(slo.tightest_ms)
    share = float(np.mean(facts.sent_late_ms > limit)) if len(facts.sent_late_ms) else 1.0
    passed = share <= MOST_LATE_SHARE
    return Check(
        name="sent on time",
        passed=passed,
        detail=f"{share:.2%} of the requests left over {limit:g} ms late, at most {MOST_LATE_SHARE:.0%} allowed",
        recommendation=None if passed else "the client was the bottleneck: lower the rate, or give it cores of its own",
    )


def _kept_up(facts: StageFacts) -> Check:
    answered = int(np.sum(facts.good_done_s <= facts.duration_s + 0.25))
    share = answered / facts.requests if facts.requests else 0.0
    passed = share >= LEAST_ACHIEVED
    return Check(
        name="kept up",
        passed=passed,
        detail=f"{share:.1%} of the offered requests were answered by the window's end, {LEAST_ACHIEVED:.0%} needed",
        recommendation=None
        if passed
        else "the server is beyond its capacity at this rate: latencies only measure the test's length",
    )


def _client(facts: StageFacts) -> Check:
    """The certificate's ceiling decides; without one the processor time of the load process has to do."""
    if facts.ceiling_rps is None:
        passed = facts.client_cpu <= MOST_CLIENT_CPU
        detail = (
            f"the load process used {facts.client_cpu:.0%} of a core, at most {MOST_CLIENT_CPU:.0%} allowed; "
            f"not certified: {facts.uncertified}"
        )
    else:
        rate = facts.requests / facts.duration_s
        passed = rate <= MOST_OF_CEILING * facts.ceiling_rps
        detail = (
            f"{rate:,.0f} requests/s are {rate / facts.ceiling_rps:.0%} of {_ceiling(facts.ceiling_rps)}, "
            f"at most {MOST_OF_CEILING:.0%} allowed{WHOSE[facts.ceiling_of]}"
        )
    return Check(
        name="client has time",
        passed=passed,
        detail=detail,
        recommendation=None if passed else "the client was the bottleneck: lower the rate, or spread it over workers",
    )


def _steady(facts: StageFacts) -> Check:
    edges = np.linspace(0.0, facts.duration_s, 4)
    counts, _ = np.histogram(facts.good_done_s, edges)
    apart = spread(counts.tolist())
    passed = apart <= STEADY_WITHIN
    return Check(
        name="steady",
        passed=passed,
        detail=f"the throughput of the window's thirds differs by {apart:.0%}, at most {STEADY_WITHIN:.0%} allowed",
        recommendation=None
        if passed
        else "something else was using the machine, or the warm-up was too short: measure again",
    )


def client_bound(throughput_rps: float, client_cpu: float, ceiling_rps: float | None) -> bool:
    """Whether a throughput (requests per second) says more about the client than about the server.

    Then it is a lower bound and not ranked; the latencies of a closed loop stay true *at that concurrency*. Without a
    ceiling the share of a core that the busiest load process used has to decide.
    """
    if ceiling_rps is None:
        return client_cpu > MOST_CLIENT_CPU
    return throughput_rps > MOST_OF_CEILING * ceiling_rps


def client_bound_note(throughput_rps: float, client_cpu: float, ceiling_rps: float | None) -> str:
    """What is said beside a throughput that is client-bound."""
    if ceiling_rps is None:
        why = f"the load process used {client_cpu:.0%} of a core"
    else:
        why = f"it is {throughput_rps / ceiling_rps:.0%} of {_ceiling(ceiling_rps)}"
    return f"client-bound: {why}, so the throughput is a lower bound and is not ranked"


def _ceiling(ceiling_rps: float) -> str:
    return f"the load generator's certified ceiling of {ceiling_rps:,.0f}/s"
