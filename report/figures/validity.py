"""VALID or INVALID first: each constraint is one line, and one that fails comes with a recommendation. Pure."""

from __future__ import annotations

import numpy as np

from contract.certificate import MOST_CLIENT_CPU, MOST_OF_CEILING, CeilingOf
from contract.records import Mode
from contract.slo import Slo
from contract.statistics import least_samples
from contract.trust import STEADY_WITHIN, spread
from contract.verdict import Check
from report.figures.other_work import QUIET, in_the_way
from report.figures.schedule import held_back, kept_up, on_time, peak_rate
from report.figures.stage_facts import StageFacts

LEAST_OF_PLANNED = 0.99
MOST_ERRORS = 0.05
WHOSE: dict[CeilingOf, str] = {
    "client": "",
    "null server": " (the ceiling is the null server's: the client's is higher)",
    "machine": " (the ceiling is what other work on the machine left: certify again when it is quiet)",
}
OF_OPEN = " of an open loop"
OF_CLOSED = " of a closed loop, whose requests cost it less"
MORE_PROCESSES = (
    "the client was the bottleneck: give it more load processes (--processes, or processes in models.toml), each with "
    "a core that no server needs, here or on another machine; or lower the rate or the number of users"
)
UNSTEADY: dict[Mode, str] = {  # where the machine was not known to be busy with other work
    "closed": "something else was using the machine, or the warm-up was too short: measure again",
    "open": "see in the course and in the server's log what happened; the latencies count it",
}
LONGER: dict[Mode, str] = {  # each has a key of its own under [load]
    "closed": "raise duration_s under [load], or that of the stage in a load plan, in models.toml",
    "open": "raise open_duration_s under [load], or duration_s of the stage in a load plan, in models.toml",
}


def check(facts: StageFacts, slo: Slo) -> list[Check]:
    """All constraints of a stage, in the order in which a person would ask."""
    checks = [_duration(facts), _samples(facts), _errors(facts), _answers(facts)]
    if facts.lost or facts.aborted:
        checks.append(_whole(facts))
    if facts.mode == "closed":
        return [*checks, _steady(facts), _generator(facts)]
    checks.append(on_time(facts, slo))
    if facts.held:
        checks.append(held_back(facts, slo))
    checks.append(kept_up(facts))
    if facts.ceiling_rps is not None:
        checks.append(_client(facts, facts.ceiling_rps))
    checks.append(_processor(facts))
    if facts.one_rate:
        checks.append(_steady(facts))
    return checks


def _duration(facts: StageFacts) -> Check:
    """The window of a search may end early on purpose: what its outcome claims is judged by the samples."""
    short = facts.duration_s < LEAST_OF_PLANNED * facts.planned_s
    passed = not facts.interrupted and (facts.sought or not short)
    why = ": it was interrupted" if facts.interrupted else ": the search had seen enough" if passed and short else ""
    return Check(
        name="duration",
        passed=passed,
        detail=f"{facts.duration_s:,.4g} s of {facts.planned_s:,.4g} s planned{why}",
        recommendation=None if passed else "what is missing may be the slow part: measure again, and let it end",
    )


def _samples(facts: StageFacts) -> Check:
    needed = least_samples(0.99)
    return Check(
        name="samples for p99",
        passed=facts.requests >= needed,
        detail=f"{facts.requests} requests, at least {needed} needed",
        recommendation=None if facts.requests >= needed else LONGER[facts.mode],
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


def _client(facts: StageFacts, closed_rps: float) -> Check:
    """Of an open loop whose load generator was certified: how near it came to what that can do at most."""
    rate, most, opened = peak_rate(facts), "" if facts.one_rate else "at the most ", facts.open_ceiling
    ceiling_rps, whose = (opened.rps, opened.of) if opened else (closed_rps, facts.ceiling_of)
    loop = OF_OPEN if opened else OF_CLOSED
    passed = rate <= MOST_OF_CEILING * ceiling_rps
    return Check(
        name="client has time",
        passed=passed,
        detail=f"{rate:,.0f} requests/s {most}are {rate / ceiling_rps:.0%} of {_ceiling(ceiling_rps)}{loop}, "
        f"at most {MOST_OF_CEILING:.0%} allowed{WHOSE[whose]}",
        recommendation=None if passed else MORE_PROCESSES,
    )


def _processor(facts: StageFacts) -> Check:
    """Of every open loop, certified or not: a ceiling was found beside a server that does nothing, on other moments'
    cores; what the busiest load process used in this very stage is measured."""
    passed = facts.client_cpu <= MOST_CLIENT_CPU
    unknown = f"; not certified: {facts.uncertified}" if facts.ceiling_rps is None else ""
    return Check(
        name="generator CPU",
        passed=passed,
        detail=f"{_used(facts.client_cpu)}, at most {MOST_CLIENT_CPU:.0%} allowed{unknown}",
        recommendation=None if passed else MORE_PROCESSES,
    )


def _steady(facts: StageFacts) -> Check:
    """Of a closed loop a constraint. In an open loop a stall does not lower what is asked for, and the latencies have
    it: were such a stage invalid, whoever measures again would hide the server's own stalls. There it is told only."""
    edges = np.linspace(0.0, facts.duration_s, 4)
    counts, _ = np.histogram(facts.good_done_s, edges)
    apart = spread(counts.tolist())
    steady, bound = apart <= STEADY_WITHIN, facts.mode == "closed"
    busy = in_the_way(facts.other) if bound and not steady else ""
    allowed = f", at most {STEADY_WITHIN:.0%} allowed" if bound else ""
    return Check(
        name="steady",
        passed=steady or not bound,
        detail=f"the throughput of the window's thirds differs by {apart:.0%}{allowed}{busy}",
        recommendation=None if steady else QUIET if busy else UNSTEADY[facts.mode],
    )


def _generator(facts: StageFacts) -> Check:
    """Of a closed loop, no constraint: users wait for their client too, so its latencies stay true."""
    bound = client_bound(facts.answered_rps, facts.client_cpu, facts.ceiling_rps)
    used = _used(facts.client_cpu)
    if facts.ceiling_rps is not None:
        share = facts.answered_rps / facts.ceiling_rps
        used += f"; {facts.answered_rps:,.0f} answers/s are {share:.0%} of {_ceiling(facts.ceiling_rps)}"
    return Check(
        name="generator",
        passed=True,
        detail=f"{used}: {'client-bound, the throughput is a lower bound' if bound else 'it was not the bottleneck'}",
        recommendation=MORE_PROCESSES if bound else None,
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
        why = _used(client_cpu)
    else:
        why = f"it is {throughput_rps / ceiling_rps:.0%} of {_ceiling(ceiling_rps)}"
    return f"client-bound: {why}, so the throughput is a lower bound and is not ranked"


def _used(client_cpu: float) -> str:
    """One figure for all load processes: that of the busiest, for one that is late makes the whole late."""
    return f"the busiest load process used {client_cpu:.0%} of a core"


def _ceiling(ceiling_rps: float) -> str:
    return f"the load generator's certified ceiling of {ceiling_rps:,.0f}/s"
