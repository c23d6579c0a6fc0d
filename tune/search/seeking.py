"""One variant's search carried out: asks `MaxRate` what to measure, has it measured, reads what may be claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from contract.errors import ServerError
from contract.records import Stage, VariantPlan
from contract.search import Found
from loadtest.master.asking import Measured
from tune.latencies import latencies_ms
from tune.search.claim import claimed_ms
from tune.search.max_rate import MaxRate
from tune.search.stages import stage_of
from tune.search.tally import spoiled


class Measuring(Protocol):
    """What a search needs of `loadtest.session.Session`."""

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured: ...


class Seeker:
    """The search of ``variant``, whose records are in ``results``. ``failure`` says why it ended before its time.

    ``spoiled`` is how many windows the machine spoiled: requests left late, or load processes were lost.
    """

    def __init__(self, variant: VariantPlan, search: MaxRate, results: Path, warmup_s: float, in_flight: int) -> None:
        self.id = variant.id
        self.search = search
        self.failure = ""
        self.spoiled = 0
        self._slo = variant.endpoint.slo
        self._results = results
        self._warmup_s, self._in_flight = warmup_s, in_flight

    @property
    def over(self) -> bool:
        """Whether there is nothing more to measure."""
        return bool(self.failure) or self.search.next() is None

    def step(self, session: Measuring) -> tuple[str, float]:
        """Measure what comes next: what came of it in words, and how many seconds it took.

        A server that fails ends this search and no other. Raises LoadproofError where the load generator failed.
        """
        wanted = self.search.next()
        assert wanted is not None
        stage = stage_of(wanted, self._slo, self._warmup_s, self._in_flight)
        try:
            seen = session.measure(self.id, stage, early=wanted.purpose != "knee")
        except ServerError as error:
            self.failure = str(error)
            return f"left out: {error}", 0.0
        self.spoiled += bool(wanted.rate and spoiled(seen))
        if wanted.purpose != "confirm" or seen.lost:
            return self.search.tell(seen), seen.seconds
        claimed = claimed_ms(latencies_ms(self._results, self.id, seen.stage), self._slo)
        return self.search.tell(seen, claimed), seen.seconds

    def found(self) -> Found:
        """The result as far as it goes."""
        found = self.search.found(self.id)
        return found.model_copy(update={"limited_by": "server", "reason": self.failure}) if self.failure else found
