"""Whether an open loop kept its schedule: what the generator sent late, what the in-flight limit held back, what was
answered of it. Pure."""

from __future__ import annotations

import numpy as np

from contract.slo import Slo
from contract.statistics import most_within
from contract.trust import LEAST_ACHIEVED, MOST_LATE_SHARE, late_limit_ms
from contract.verdict import Check
from report.figures.other_work import HAD_TIME, QUIET, in_the_way
from report.figures.stage_facts import StageFacts

BUSY_CLIENT = "the client was the bottleneck: lower the rate, or give it cores of its own"
KEPT_WAITING = (
    "the client had time and was kept waiting, by the server on the same cores or by other work: give it cores of its "
    "own ([affinity] in models.toml), or measure again on a quiet machine"
)


def on_time(facts: StageFacts, slo: Slo) -> Check:
    """Of what the generator did by itself: what the in-flight limit held back is `held_back`'s."""
    limit = late_limit_ms(slo.tightest_ms)
    late = max(0, int(np.sum(facts.sent_late_ms > limit)) - facts.held)
    share = late / len(facts.sent_late_ms) if len(facts.sent_late_ms) else 1.0
    passed = share <= MOST_LATE_SHARE
    others = ", without those that were held back" if facts.held else ""
    why, next_step = ("", None) if passed else _why_late(facts)
    return Check(
        name="sent on time",
        passed=passed,
        detail=f"{share:.2%} of the requests left over {limit:g} ms late{others}, "
        f"at most {MOST_LATE_SHARE:.0%} allowed{why}",
        recommendation=next_step,
    )


def _why_late(facts: StageFacts) -> tuple[str, str]:
    """Whose fault late sends were, as far as it is known, and what to do: a client that had time was kept waiting."""
    busy, used = in_the_way(facts.other), f"{facts.client_cpu:.0%} of"
    if busy and facts.client_cpu <= HAD_TIME:
        return f"{busy}, the busiest load process {used} one", QUIET
    why = f"; the busiest load process used {used} a core"
    return why, BUSY_CLIENT if facts.client_cpu > HAD_TIME else KEPT_WAITING


def held_back(facts: StageFacts, slo: Slo) -> Check:
    """Told where it happened, and no constraint: these latencies count from the intended send, so nothing is hidden."""
    many = facts.held > 1
    return Check(
        name="in flight",
        passed=True,
        detail=f"{facts.held:,} request{'s were' if many else ' was'} held back by over "
        f"{late_limit_ms(slo.tightest_ms):g} ms by the limit of {facts.in_flight} in flight; "
        f"{'their latencies count' if many else 'its latency counts'} from the intended send",
        recommendation="the server did not keep up, or raise in_flight in models.toml",
    )


def kept_up(facts: StageFacts) -> Check:
    """What was not answered by then is a queue that grew: its latencies would be longer in a longer window."""
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


def peak_rate(facts: StageFacts) -> float:
    """Requests per second of an open loop: of one rate its mean, else what was due within the busiest second.

    A mean hides a spike; and the busiest second of random arrivals at one rate is above that rate by chance alone.
    """
    mean = facts.requests / facts.duration_s
    if facts.one_rate or not len(facts.due_s):
        return mean
    return max(mean, float(most_within(1.0, facts.due_s)))
