"""What a certification asks the load generator for, and what it says of it: plans like those of any run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from contract.certificate import Setting
from contract.client import Client
from contract.endpoints import Endpoint
from contract.files import read_model
from contract.records import Observation, Plan, Seeds, Stage, StageObservation, VariantPlan

CLOSED_S, WARMUP_S = 2.0, 0.3
IN_FLIGHT = 64


def certifying_plan(variants: Sequence[VariantPlan], setting: Setting, client: Client) -> Plan:
    """A plan against null servers. ``client`` is the setting's, which trusts them."""
    return Plan(
        schema_version=1,
        id="certify",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=setting.machine,
        same_machine=True,
        versions=setting.versions,
        target="",
        seeds=Seeds(schedule=1, payload=2, sampling=3),
        answers=1,
        attempts=1,
        processes=setting.processes,
        client=client,
        servers=[],  # a null server has no counters
        resident=[],
        unserved={},
        variants=list(variants),
    )


def variant(name: str, endpoint: Endpoint, address: str, *stages: Stage) -> VariantPlan:
    """The endpoint, at the address of a null server."""
    moved = endpoint.model_copy(update={"address": address})
    return VariantPlan(id=name, endpoint=moved, stages=list(stages), repeat_of=None)


def closed_stage(concurrency: int) -> Stage:
    """As much as so many users can ask for."""
    return Stage(
        name=f"closed-{concurrency}",
        mode="closed",
        concurrency=concurrency,
        rate=None,
        duration_s=CLOSED_S,
        warmup_s=WARMUP_S,
        in_flight=concurrency,
    )


def open_stage(rate: float, duration_s: float) -> Stage:
    """Poisson arrivals, requests per second."""
    return Stage(
        name=f"open-{rate:g}",
        mode="open",
        concurrency=None,
        rate=rate,
        duration_s=duration_s,
        warmup_s=WARMUP_S,
        in_flight=IN_FLIGHT,
    )


def observation(folder: Path, name: str) -> StageObservation:
    """The variant's last stage, as it really ran."""
    return read_model(folder / f"server-stats-{name}.json", Observation, "python -m loadtest certify").stages[-1]
