"""A machine of known capacity: reloads a model at once, and measures it exactly, without time and without noise.

It stands for `serving.rolling.reconfiguring.Reconfigured` and `loadtest.session.Session` together, and writes the
records that a session leaves, so that whoever reads percentiles reads them from files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contract.batching import Batching
from contract.endpoints import Endpoint
from contract.files import write_json
from contract.records import Observation, Plan, Stage, StageObservation, VariantPlan
from loadtest.master.asking import Measured
from tests.builders import SECOND, endpoint, plan, records

ENDPOINT = endpoint()
FAST_MS, SLOW_MS = 5.0, 80.0  # the SLO is 50 ms


class Machine:
    """``capacity`` says how many requests per second a configuration answers within the SLO; above it half are slow.

    ``refused`` says what a load raises.
    """

    def __init__(
        self,
        results: Path,
        capacity: Callable[[Batching], float],
        refused: Callable[[Batching], Exception | None] = lambda batching: None,
    ) -> None:
        self.batching = Batching()
        self.plan: Plan = plan()
        self.applied: list[Batching] = []
        self.stages: dict[str, list[Stage]] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self._seen: dict[str, list[StageObservation]] = {}
        self._results, self._capacity, self._refused = results, capacity, refused

    def apply(self, batching: Batching) -> list[Endpoint]:
        self.applied.append(batching)
        error = self._refused(batching)
        if error is not None:
            raise error
        configuration = ENDPOINT.configuration.model_copy(update={"instances": batching.instances})
        return [ENDPOINT.model_copy(update={"configuration": configuration})]

    def add(self, variant: VariantPlan) -> None:
        assert variant.id not in self.stages
        self.stages[variant.id], self._seen[variant.id] = [], []
        self.endpoints[variant.id] = variant.endpoint

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
        index = len(self.stages[variant_id])
        self.stages[variant_id].append(stage)
        capacity = self._capacity(self.applied[-1])
        rate = stage.rate or min(capacity, (stage.concurrency or 1) * 1e3 / FAST_MS)
        due = round(rate * stage.duration_s)
        over = due // 2 if rate > capacity else 0
        self._record(variant_id, index, stage.duration_s, due, over)
        return Measured(
            stage=index,
            due=due,
            failed=0,
            over={"p99": over},
            late=0,
            good=due - over,
            answered_rps=min(rate, capacity),
            client_cpu=0.2,
            lost=[],
            aborted=False,
            cut="",
            window_s=stage.duration_s,
            seconds=stage.duration_s,
        )

    def _record(self, variant: str, stage: int, seconds: float, due: int, over: int) -> None:
        start_ns = (stage + 1) * 1000 * SECOND
        intended = np.linspace(0, seconds * 1e3, due, endpoint=False)
        rows = [(at, at, at + (SLOW_MS if number < over else FAST_MS)) for number, at in enumerate(intended.tolist())]
        table = records(rows, stage, variant, start_ns=start_ns)
        pq.write_table(table, self._results / f"requests-{variant}-0-{stage:05d}.parquet")
        self._seen[variant].append(
            StageObservation(
                stage=stage,
                window_start_ns=start_ns,
                window_end_ns=start_ns + round(seconds * SECOND),
                client_cpu=0.2,
                server=None,
            )
        )
        seen = Observation(schema_version=1, variant=variant, complete=True, stages=self._seen[variant])
        write_json(self._results / f"server-stats-{variant}.json", seen)
