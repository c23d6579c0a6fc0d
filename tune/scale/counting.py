"""One point of a scaling curve: so many of a unit, their closed-loop throughput and their highest rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.endpoints import Endpoint
from contract.errors import ServerError
from contract.records import VariantPlan
from contract.scaling import Point
from tune.configuration.gauging import METHOD, Loading, Question, Setting, Worth, highest_rate, p99_of
from tune.scale.unit import Unit, Usage, usage
from tune.search.max_rate import Wanted
from tune.search.stages import stage_of

USERS = (16, 64)  # the same closed loops for every number, enough to keep several busy
WINDOW_S = 4.0
NOT_SOUGHT = "asked without the proxy, in a closed loop alone"


@dataclass(frozen=True)
class Closed:
    """The closed loop that had the most answers per second. ``p99_ms``: None without an answer."""

    rps: float
    users: int
    p99_ms: float | None
    usage: Usage


class Counting:
    """Brings up one number after the other and measures each. All else stays as it is."""

    def __init__(self, session: Loading, unit: Unit, setting: Setting, users: Sequence[int] = USERS) -> None:
        self._session = session
        self._unit = unit
        self._setting = setting
        self._users = users

    def point(self, number: int) -> Point:
        """Measure one number. Raises ServerError where it does not come up, ParityError where it answers wrongly."""
        variant = self._variant(self._unit.up(number), f"x{number}")
        closed = self._closed(variant, self._users)
        lost, worth = self._unit.lost(), Worth("failed", None)
        if not lost:
            worth, lost = self._sought(variant, closed)
        return self._point(number, variant, closed, worth, lost)

    def direct(self, users: int) -> Point | None:
        """One without what spreads requests, in one closed loop; None where nothing does."""
        endpoint = self._unit.direct()
        if endpoint is None:
            return None
        variant = self._variant(endpoint, "direct")
        closed = self._closed(variant, [users])
        return self._point(1, variant, closed, Worth("failed", None, NOT_SOUGHT), self._unit.lost())

    def _variant(self, endpoint: Endpoint, suffix: str) -> VariantPlan:
        own = endpoint.model_copy(update={"id": f"{endpoint.id}__{suffix}"})
        variant = VariantPlan(id=own.id, endpoint=own, stages=[], repeat_of=None)
        self._session.add(variant)
        return variant

    def _closed(self, variant: VariantPlan, numbers: Sequence[int]) -> Closed:
        """The best of the closed loops of so many users."""
        found = []
        for users in numbers:
            wanted = Wanted("knee", WINDOW_S, users=users)
            stage = stage_of(wanted, variant.endpoint.slo, METHOD.warmup_s, self._setting.in_flight)
            before = self._unit.reading()
            seen = self._session.measure(variant.id, stage)
            used = usage(before, self._unit.reading())
            found.append(Closed(seen.answered_rps, users, p99_of(self._setting.results, variant.id, seen.stage), used))
        return max(found, key=lambda closed: closed.rps)

    def _sought(self, variant: VariantPlan, closed: Closed) -> tuple[Worth, str]:
        """The highest rate, and what was lost meanwhile. A server that fails is an error unless that explains it."""
        try:
            worth = highest_rate(self._session, Question(variant, expected=closed.rps or None), self._setting)
        except ServerError:
            if lost := self._unit.lost():
                return Worth("failed", None), lost
            raise
        return worth, self._unit.lost()

    def _point(self, number: int, variant: VariantPlan, closed: Closed, worth: Worth, lost: str) -> Point:
        return Point(
            n=number,
            variant=variant.id,
            closed_rps=round(closed.rps, 2),
            users=closed.users,
            p99_ms=None if closed.p99_ms is None else round(closed.p99_ms, 3),
            max_rps=None if lost else worth.value,
            reason=lost or worth.reason,
            invalid=lost,
            shares=closed.usage.shares,
            proxy_us=closed.usage.proxy_us,
            server_cores=closed.usage.cores(closed.rps),
            server_mib=closed.usage.server_mib,
        )
