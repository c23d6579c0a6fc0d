"""Whole folders of results with known latencies, round by round, as the load test would have written them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from contract.codecs.triton_http import LENGTH_HEADER
from contract.endpoints import Endpoint
from contract.files import write_json
from contract.golden import write_examples
from contract.records import Observation, Stage, StageObservation, VariantPlan, answer_frame, golden_name
from contract.slo import Slo
from contract.tensors import to_bytes
from tests.builders import SECOND, closed_stage, endpoint, examples, open_stage, plan, records

PER_ROUND = 1000
OPEN_S, CLOSED_S, TURN_S = 5.0, 2.0, 20


def write_run(
    folder: Path,
    factors: Sequence[float],
    *,
    items: Sequence[Endpoint] | None = None,
    errors: int = 0,
    per_round: int = PER_ROUND,
    **changes: Any,
) -> Path:
    """A run with one round per factor: latencies of 10 ms, give or take a tenth, times the factor of their round.

    The open stage answers ``per_round`` requests, the closed one as many as four users get through.
    ``errors`` of each open round fail. ``changes`` are those of the plan.
    """
    folder.mkdir(parents=True)
    stages = [closed_stage(4, CLOSED_S), open_stage(per_round / OPEN_S, OPEN_S)]
    variants = []
    for item in items if items is not None else [endpoint(slo=Slo(rate=per_round / OPEN_S, p99_ms=50))]:
        variants.append(VariantPlan(id=item.id, endpoint=item, stages=stages, repeat_of=None))
        seen = []
        for turn, factor in enumerate(factors):
            for number, stage in enumerate(stages):
                start = (10 + TURN_S * turn + 10 * number) * SECOND
                name = f"requests-{item.id}-0-{2 * turn + number:05d}.parquet"
                rows = _rows(stage, 10.0 * factor, turn, per_round)
                failed = dict.fromkeys(range(errors if number else 0), "timeout")
                pq.write_table(records(rows, number, item.id, failed, start), folder / name)
                seen.append(_observation(stage, number, turn, start))
        write_json(
            folder / f"server-stats-{item.id}.json",
            Observation(schema_version=1, variant=item.id, complete=True, stages=seen),
        )
        write_examples(folder / golden_name(item), examples())
        (folder / f"answers-{item.id}-0.bin").write_bytes(b"".join(_answer(number) for number in range(len(stages))))
    written = plan(*variants, **({"id": folder.name, "rounds": len(factors)} | changes))
    write_json(folder / "plan.json", written)
    return folder


def _observation(stage: Stage, number: int, turn: int, start: int) -> StageObservation:
    return StageObservation(
        stage=number,
        round=turn + 1,
        window_start_ns=start,
        window_end_ns=start + round(stage.duration_s * SECOND),
        client_cpu=0.2,
        server=None,
    )


def _rows(stage: Stage, mean_ms: float, turn: int, per_round: int) -> list[tuple[float, float, float]]:
    """(intended, sent, done) in milliseconds since the window's start."""
    count = per_round if stage.mode == "open" else int(4 * 1000 * stage.duration_s / mean_ms)
    spread = np.random.default_rng(turn).permutation(np.linspace(0.9, 1.1, count)) * mean_ms
    due = np.linspace(0.0, 1000 * stage.duration_s, count, endpoint=False)
    return [(at, at, at + took) for at, took in zip(due.tolist(), spread.tolist(), strict=True)]


def _answer(stage: int) -> bytes:
    """The right answer to r0000 in Triton's HTTP protocol."""
    logits = examples()[0].outputs["logits"]
    header = b'{"outputs":[{"name":"logits","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
    return answer_frame(stage, "r0000", {LENGTH_HEADER: str(len(header))}, header + to_bytes(logits))
