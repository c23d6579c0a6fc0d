"""The plan of a run: which endpoints, through which stages, in which order, with which seeds. Pure."""

from __future__ import annotations

import ipaddress

from contract.config import Load
from contract.endpoints import Endpoint, Endpoints
from contract.machine import Machine
from contract.records import Plan, Seeds, Stage, VariantPlan

REPEAT = "__again"


def stages(load: Load, endpoint: Endpoint) -> list[Stage]:
    """Closed-loop stages at each concurrency, then one open-loop stage at the rate of the model's SLO."""
    closed = [
        Stage(
            name=f"closed-{users}",
            mode="closed",
            concurrency=users,
            rate=None,
            duration_s=load.duration_s,
            warmup_s=load.warmup_s,
            in_flight=users,
        )
        for users in load.concurrency
    ]
    return [*closed, _open_stage(load, endpoint)]


def _open_stage(load: Load, endpoint: Endpoint) -> Stage:
    return Stage(
        name=f"open-{endpoint.slo.rate:g}",
        mode="open",
        concurrency=None,
        rate=endpoint.slo.rate,
        duration_s=load.open_duration_s,
        warmup_s=load.warmup_s,
        in_flight=load.in_flight,
    )


def make_plan(
    run_id: str,
    started: str,
    load: Load,
    endpoints: Endpoints,
    chosen: list[Endpoint],
    machine: Machine,
    versions: dict[str, str],
) -> Plan:
    """Every chosen endpoint once, and the first real one again at the end, to know the noise (A/A)."""
    variants = [
        VariantPlan(id=endpoint.id, endpoint=endpoint, stages=stages(load, endpoint), repeat_of=None)
        for endpoint in chosen
    ]
    repeated = next((item for item in chosen if item.engine_kind == "real"), None)
    if repeated:
        again = VariantPlan(
            id=repeated.id + REPEAT, endpoint=repeated, stages=[_open_stage(load, repeated)], repeat_of=repeated.id
        )
        variants.append(again)
    return Plan(
        schema_version=1,
        id=run_id,
        started=started,
        machine=machine,
        same_machine=all(is_loopback(endpoint.address) for endpoint in chosen),
        versions=versions,
        target=endpoints.target,
        seeds=Seeds(schedule=load.seed, payload=load.seed + 1_000_000, sampling=load.seed + 2_000_000),
        answers=load.answers,
        attempts=load.attempts,
        servers=endpoints.servers,
        resident=endpoints.resident,
        one_at_a_time=endpoints.one_at_a_time,
        unserved=endpoints.unserved,
        variants=variants,
    )


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine's loopback."""
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def seconds(variant: VariantPlan) -> float:
    """About how long a variant takes, for the progress bar."""
    return 3.0 + sum(max(stage.warmup_s, 1.0) + stage.duration_s + 0.3 for stage in variant.stages)
