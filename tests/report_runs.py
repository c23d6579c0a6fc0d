"""Runs with known answers on disk, as a load test or a search would have left them, for the tests of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from contract.codecs.triton_http import LENGTH_HEADER
from contract.endpoints import Endpoint
from contract.files import write_json
from contract.golden import write_examples
from contract.records import Observation, Plan, Stage, StageObservation, VariantPlan, answer_frame, golden_name
from contract.search import Found, Search
from contract.slo import Slo
from contract.tensors import to_bytes
from contract.verdict import Report
from report.assemble import assemble
from tests.builders import (
    SECOND,
    closed_stage,
    confirm_stage,
    endpoint,
    examples,
    found,
    open_stage,
    plan,
    probe_stage,
    records,
)

SLO = Slo(rate=200, p99_ms=50, error_rate=0.001)
STAGES = [closed_stage(4, 1.0), open_stage(200.0, 5.0)]


def answer(wrong: bool = False) -> tuple[dict[str, str], bytes]:
    """The answer to r0000 in Triton's HTTP protocol."""
    logits = examples()[0].outputs["logits"] + np.float32(1.0 if wrong else 0.0)
    header = b'{"outputs":[{"name":"logits","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
    return {LENGTH_HEADER: str(len(header))}, header + to_bytes(logits)


class Run:
    """Writes the files of one run, as the load would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variants: list[VariantPlan] = []

    def add(
        self,
        item: Endpoint,
        latency_ms: float = 5.0,
        *,
        stages: int = 2,
        wrong: tuple[int, ...] = (),
        sampled: bool = True,
        errors: int = 0,
        repeat_of: str | None = None,
        planned: list[Stage] | None = None,
    ) -> VariantPlan:
        """One variant whose first ``stages`` were finished, with a latency that varies by a tenth."""
        name = f"{item.id}__again" if repeat_of else item.id
        planned = planned or (STAGES[1:] if repeat_of else STAGES)
        self.variants.append(VariantPlan(id=name, endpoint=item, stages=planned, repeat_of=repeat_of))
        seen = []
        for index, stage in enumerate(planned[:stages]):
            start = (10 + 10 * index) * SECOND
            self._records(name, index, stage, latency_ms, start, errors)
            if sampled:
                headers, body = answer(index in wrong)
                with (self.folder / f"answers-{name}-0.bin").open("ab") as file:
                    file.write(answer_frame(index, "r0000", headers, body))
            end = start + round(stage.duration_s * SECOND)
            seen.append(
                StageObservation(stage=index, window_start_ns=start, window_end_ns=end, client_cpu=0.2, server=None)
            )
        observation = Observation(schema_version=1, variant=name, complete=len(seen) == len(planned), stages=seen)
        write_json(self.folder / f"server-stats-{name}.json", observation)
        write_examples(self.folder / golden_name(item), examples())
        return self.variants[-1]

    def sought(self, item: Endpoint, rate: float | None, latency_ms: float = 5.0, **changes: Any) -> Found:
        """One variant that was searched: a probe and, at the same rate, a confirmation of 1000 requests."""
        seconds = 1000 / (rate or 200.0)
        planned = [probe_stage(rate or 200.0, seconds), *([confirm_stage(rate, seconds)] if rate else [])]
        variant = self.add(item, latency_ms, stages=len(planned), planned=planned, **changes)
        return found(variant.id, rate)

    def _records(self, name: str, index: int, stage: Stage, latency_ms: float, start: int, errors: int) -> None:
        count = 1000
        gaps = np.linspace(0.0, stage.duration_s * 1000, count, endpoint=False)
        spread = np.random.default_rng(7).permutation(np.linspace(0.9, 1.1, count)) * latency_ms
        rows = [(at, at, at + took) for at, took in zip(gaps.tolist(), spread.tolist(), strict=True)]
        table = records(rows, index, name, dict.fromkeys(range(0, 10 * errors, 10), "timeout"), start)
        pq.write_table(table, self.folder / f"requests-{name}-0-{index:05d}.parquet")

    def write(self, **changes: Any) -> Plan:
        written = plan(*self.variants, **changes)
        write_json(self.folder / "plan.json", written)
        return written

    def report(self, search: Search | None = None, **changes: Any) -> Report:
        self.write(**changes)
        if search:
            write_json(self.folder / "search.json", search)
        return assemble(self.folder)


def real(**changes: Any) -> Endpoint:
    return endpoint(**({"slo": SLO} | changes))


def embedded() -> Endpoint:
    return real(
        format="savedmodel",
        engine_kind="embedded",
        protocol="grpc",
        stand_in_for="TensorFlow Serving (tensorflow_model_server)",
    )
