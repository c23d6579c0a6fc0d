"""What one configuration is worth: the highest rate that keeps the objectives, or the p99 at a fixed rate.

A gauge puts stages of one variant under load through a `Session` and returns a figure that compares configurations.
What the machine spoiled says nothing of a configuration: as in a load test it is measured again, `attempts` times at
most (`contract/trust.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from contract.errors import ServerError
from contract.load import Load
from contract.records import Plan, Stage, VariantPlan
from contract.statistics import order_statistic
from contract.trials import Objective, Outcome
from loadtest.master.asking import Measured
from tune.configuration.confirmed import keep
from tune.latencies import latencies_ms
from tune.search.max_rate import MaxRate, Wanted
from tune.search.method import Method
from tune.search.seeking import Seeker
from tune.search.span import GIVEN_UP, Top
from tune.search.stages import stage_of
from tune.search.tally import spoiled

P99 = 0.99
# A trial steers and is compared; what it needs for that is less than what a search of its own takes.
METHOD = Method(resolution=0.05, probe_s=4.0, confirm_s=10.0, users=(16,))
# On a machine that is not quiet much is asked again: after so long a search bisects no further, and then it ends.
HURRY_S, MOST_S = 30.0, 90.0
BELOW = "it may be more: above it requests left late"
LEAST_REQUESTS, SHORTEST_S, LONGEST_S = 1_500, 4.0, 12.0  # of a stage whose p99 is compared


class Loading(Protocol):
    """What a gauge needs of `loadtest.session.Session`."""

    @property
    def plan(self) -> Plan: ...

    def add(self, variant: VariantPlan) -> None: ...

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured: ...


@dataclass(frozen=True)
class Setting:
    """How trials are measured. ``at_rate``: requests per second of the objective `latency`, by default the SLO's.

    ``attempts``: how often one may be measured until the machine did not spoil it.
    """

    objective: Objective
    results: Path
    in_flight: int
    at_rate: float | None = None
    max_rps: float | None = None
    attempts: int = Load().attempts


@dataclass(frozen=True)
class Question:
    """What is asked about a variant. Rates are requests per second.

    ``least``: a lower rate is of no interest, for another configuration does that. ``expected``: where to begin.
    ``confirmed``: the search goes on to its confirmation.
    """

    variant: VariantPlan
    least: float | None = None
    expected: float | None = None
    confirmed: bool = False


@dataclass(frozen=True)
class Worth:
    """``value``: requests per second or milliseconds; None with the reason. ``spoiled``: at least in part."""

    outcome: Outcome
    value: float | None
    reason: str = ""
    spoiled: bool = False


def gauge(session: Loading, question: Question, setting: Setting) -> Worth:
    """Measure a variant that is new to the session. Raises ServerError where its server fails."""
    session.add(question.variant)
    spoiled: list[str] = []
    for _ in range(setting.attempts):
        worth = GAUGES[setting.objective](session, question, setting)
        if not worth.spoiled:
            break
        spoiled.append(worth.reason)
    return with_attempts(worth, spoiled)


def with_attempts(worth: Worth, spoiled: list[str]) -> Worth:
    """The last attempt's worth, with how many there were and why: the reasons of those that were ``spoiled``."""
    times = len(spoiled) + (not worth.spoiled)
    if times == 1:
        return worth
    why = "; ".join(dict.fromkeys(spoiled))
    again = f"measured {times} times, as the machine spoiled {'each' if worth.spoiled else 'the others'}: {why}"
    return replace(worth, reason=again if worth.spoiled or not worth.reason else f"{worth.reason}; {again}")


def highest_rate(session: Loading, question: Question, setting: Setting) -> Worth:
    """The highest rate that probes kept, and that no confirmation has refuted; two of these can be compared.

    A confirmation is for the report, which judges it by its records: what it refutes lowers the figure here.
    """
    slo = question.variant.endpoint.slo
    if question.least is not None:  # a search gives up below a share of the demand
        slo = slo.model_copy(update={"rate": question.least * GIVEN_UP})
    tops = [Top(setting.max_rps, "range")] if setting.max_rps else []
    expected = question.least or question.expected
    method = METHOD if expected is None else replace(METHOD, users=())
    search = MaxRate(slo, method, tops, expected)
    seeker = Seeker(question.variant, search, setting.results, method.warmup_s, setting.in_flight)
    told = ""
    while (wanted := search.next()) is not None and (question.confirmed or wanted.purpose != "confirm"):
        told, _ = seeker.step(session)
        if seeker.failure:
            raise ServerError(seeker.failure)
        if search.seconds > HURRY_S:
            search.hurry()
        if search.seconds > MOST_S:
            break
    found = seeker.found()
    if question.confirmed:
        keep(setting.results, found, method, search.grid_seconds())
    if search.kept is None:
        undecided = found.limited_by in ("load generator", "")
        return Worth("failed" if undecided else "missed", None, told, spoiled=undecided and seeker.spoiled > 0)
    if search.bracket.limit == "load generator" and seeker.spoiled:  # else it is its processor time, at any time
        return Worth("measured", search.kept, BELOW, spoiled=True)
    return Worth("measured", search.kept)


def p99_at(session: Loading, question: Question, setting: Setting) -> Worth:
    """The 99th percentile of the good answers of one open stage, milliseconds from the intended send."""
    id, slo = question.variant.id, question.variant.endpoint.slo
    rate = setting.at_rate or slo.rate
    wanted = Wanted("probe", min(LONGEST_S, max(SHORTEST_S, LEAST_REQUESTS / rate)), rate=rate)
    stage = stage_of(wanted, slo, METHOD.warmup_s, setting.in_flight)
    seen = session.measure(id, stage)
    why = spoiled(seen)
    if why:
        return Worth("failed", None, why, spoiled=True)
    if seen.failed > slo.error_rate * seen.due or not seen.good:
        return Worth("missed", None, f"{seen.failed} of {seen.due} requests failed at {rate:g}/s")
    return Worth("measured", p99_of(setting.results, id, seen.stage))


def p99_of(results: Path, variant: str, stage: int) -> float | None:
    """Of the good answers of one stage (index into the variant's), milliseconds; None where there are none."""
    latencies = latencies_ms(results, variant, stage)
    return order_statistic(np.sort(latencies), P99) if len(latencies) else None


GAUGES: dict[Objective, Callable[[Loading, Question, Setting], Worth]] = {"rate": highest_rate, "latency": p99_at}
