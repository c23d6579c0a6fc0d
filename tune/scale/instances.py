"""One point of a scaling curve: a model with so many instances, its closed-loop throughput and its highest rate."""

from __future__ import annotations

from collections.abc import Sequence

from contract.endpoints import Endpoint
from contract.records import VariantPlan
from contract.scaling import Point
from tune.configuration.climbing import Reloading
from tune.configuration.gauging import METHOD, Loading, Question, Setting, highest_rate, p99_of
from tune.search.max_rate import Wanted
from tune.search.stages import stage_of

USERS = (16, 64)  # the same closed loops for every number, enough to keep several instances busy
WINDOW_S = 4.0


class Counting:
    """Loads a model with one number of instances after the other and measures each. All else stays as it is."""

    def __init__(
        self, session: Loading, model: Reloading, endpoint: Endpoint, setting: Setting, users: Sequence[int] = USERS
    ) -> None:
        self._session = session
        self._model = model
        self._endpoint = endpoint
        self._setting = setting
        self._users = users

    def point(self, instances: int) -> Point:
        """Measure one number. Raises ServerError where it does not load, ParityError where it answers wrongly."""
        proven = self._model.apply(self._model.batching.model_copy(update={"instances": instances}))
        own = next(item for item in proven if item.id == self._endpoint.id)
        endpoint = own.model_copy(update={"id": f"{own.id}__x{instances}"})
        variant = VariantPlan(id=endpoint.id, endpoint=endpoint, stages=[], repeat_of=None)
        self._session.add(variant)
        most, users, p99_ms = self._closed(variant)
        found = highest_rate(self._session, Question(variant, expected=most or None), self._setting)
        return Point(
            n=instances,
            variant=variant.id,
            closed_rps=round(most, 2),
            users=users,
            p99_ms=None if p99_ms is None else round(p99_ms, 3),
            max_rps=found.value,
            reason=found.reason,
        )

    def _closed(self, variant: VariantPlan) -> tuple[float, int, float | None]:
        """The most answers per second of the closed loops, by how many users, and their 99th percentile there."""
        found = []
        for users in self._users:
            wanted = Wanted("knee", WINDOW_S, users=users)
            stage = stage_of(wanted, variant.endpoint.slo, METHOD.warmup_s, self._setting.in_flight)
            seen = self._session.measure(variant.id, stage)
            found.append((seen.answered_rps, users, seen.stage))
        most, users, index = max(found)
        return most, users, p99_of(self._setting.results, variant.id, index)
