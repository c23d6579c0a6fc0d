"""One Locust that measures stages one at a time, as they are asked for: a search knows the next one only then.

    with Session(plan, results, live) as session:
        knee = session.measure("words__onnx__triton__http", closed)
        probe = session.measure("words__onnx__triton__http", opened, early=True)

A session leaves an ordinary results folder. A stage is in plan.json before it is measured, so that the records' numbers
of stages are right and a run that was killed can be read. Counters, records and answers are Locust's to write; the
servers are sampled by a `Sampler` around the session, as around every run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from contract.errors import LoadproofError, ServerError, UsageError, nearest
from contract.files import write_json
from contract.records import Plan, Stage, VariantPlan
from loadtest.launching import MOST_SOCKETS, Locust
from loadtest.master.asking import ASKED, LOOK_S, TOLD, Asked, Lines, Measured, Told, append
from loadtest.patience import end_limit_s, step_limit_s
from loadtest.plan.admission import refuse_rates
from loadtest.plan.planning import peak_rate
from loadtest.showing.live import read_live
from loadtest.showing.view import Onlooker

__all__ = ["Measured", "Session"]


class Session:
    """A run in ``results`` (a folder that `prepare` has made) with the requests below ``live``.

    The stages that ``plan`` has are dropped: what is measured is what is asked for, in one round and one attempt.
    An ``onlooker`` that wants figures is shown how the stage goes that is on.
    """

    def __init__(self, plan: Plan, results: Path, live: Path, onlooker: Onlooker | None = None) -> None:
        bare = [item.model_copy(update={"stages": []}) for item in plan.variants]
        self.plan = plan.model_copy(update={"variants": bare, "rounds": 1, "attempts": 1})
        self._results = results
        self._live = live
        self._onlooker = onlooker if onlooker is not None and onlooker.wants_figures else None
        self._told = Lines(results / TOLD)
        self._number = 0

    def __enter__(self) -> Session:
        if any(self._results.glob("requests-*.parquet")):
            raise UsageError(f"{self._results} has records of an earlier run; a session needs a folder of its own")
        self._write_plan()
        for name in (ASKED, TOLD):
            (self._results / name).unlink(missing_ok=True)
        watched = self._onlooker is not None
        sockets = MOST_SOCKETS - 1
        self._locust = Locust(self.plan, self._results, self._live, sockets, asked=True, watched=watched)
        self._locust.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End Locust, every record written. Raises LoadproofError where it failed, unless an error is on its way."""
        try:
            if error is None:
                self._end()
        finally:
            self._locust.__exit__(kind, error, trace)

    def add(self, variant: VariantPlan) -> None:
        """One more variant, without stages at first. Raises UsageError for an id that the plan has already."""
        if variant.id in self._ids():
            raise UsageError(f"the plan has a variant '{variant.id}' already; give the new one another id")
        self._change([*self.plan.variants, variant.model_copy(update={"stages": []})])

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
        """Measure a stage of a variant and say what came of it; its name is made unique.

        With ``early`` the window ends as soon as it is hopeless or clear (`loadtest/master/early.py`). Raises
        UsageError for what may not be measured, ServerError where the server cannot be made ready, LoadproofError
        where Locust died.
        """
        index = self._index(variant_id)
        before = self.plan.variants[index].stages
        stage = stage.model_copy(update={"name": _unique(stage.name, [other.name for other in before])})
        refuse_rates({f"{variant_id} {stage.name}": peak_rate(stage)}, self.plan.max_rps)
        if stage.in_flight >= MOST_SOCKETS:
            raise UsageError(
                f"{stage.name} keeps {stage.in_flight} requests in flight, a session {MOST_SOCKETS - 1} at most"
            )
        began = time.monotonic()
        self._set_stages(index, [*before, stage])
        asked = Asked(number=self._number + 1, variant=index, stage=len(before), early=early)
        told = self._ask(asked, variant_id, stage)
        if told.measured is None:
            self._set_stages(index, before)
            raise ServerError(f"{variant_id} cannot be measured: {told.error}")
        return replace(told.measured, seconds=time.monotonic() - began)

    def _ask(self, asked: Asked, variant_id: str, stage: Stage) -> Told:
        """Ask, and wait for the answer, for as long as the master may wait for all that it needs."""
        self._number = asked.number
        append(self._results / ASKED, asked)
        limit_s = step_limit_s(self.plan, stage)
        until = time.monotonic() + limit_s
        while True:
            dead = self._locust.code() is not None  # before the look: what it has told before it died is an answer
            told = self._told.next(Told)
            if told is not None and told.number == asked.number:
                return told
            if dead:
                raise self._locust.failure()
            if time.monotonic() > until:
                raise LoadproofError(
                    f"{stage.name} was not measured within {limit_s:.0f} s; the records until then are kept; "
                    f"see {self._locust.log}"
                )
            self._show(variant_id, stage.name)
            time.sleep(LOOK_S)

    def _show(self, variant_id: str, stage: str) -> None:
        """Show what the master has written down last of this stage."""
        if self._onlooker is not None:
            live = read_live(self._results)
            if live is not None and (live.variant, live.stage) == (variant_id, stage):
                self._onlooker.show(live)

    def _end(self) -> None:
        append(self._results / ASKED, Asked(number=self._number + 1, end=True))
        limit_s = end_limit_s(self.plan)
        until = time.monotonic() + limit_s
        while (code := self._locust.code()) is None and time.monotonic() < until:
            time.sleep(LOOK_S)
        if code is None:
            raise LoadproofError(
                f"Locust did not end within {limit_s:.0f} s; it was stopped and its records are kept; "
                f"see {self._locust.log}"
            )
        if code != 0:
            raise self._locust.failure()
        for name in (ASKED, TOLD):
            (self._results / name).unlink(missing_ok=True)

    def _index(self, variant_id: str) -> int:
        known = self._ids()
        if variant_id not in known:
            raise UsageError(
                f"the plan has no variant '{variant_id}'{nearest(variant_id, known)}; it has {', '.join(known)}"
            )
        return known.index(variant_id)

    def _ids(self) -> list[str]:
        return [item.id for item in self.plan.variants]

    def _set_stages(self, index: int, stages: list[Stage]) -> None:
        variants = list(self.plan.variants)
        variants[index] = variants[index].model_copy(update={"stages": stages})
        self._change(variants)

    def _change(self, variants: list[VariantPlan]) -> None:
        self.plan = self.plan.model_copy(update={"variants": variants})
        self._write_plan()

    def _write_plan(self) -> None:
        write_json(self._results / "plan.json", self.plan)


def _unique(name: str, taken: list[str]) -> str:
    """The name, numbered from the second of its kind on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
