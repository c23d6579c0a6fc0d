"""The plan of a run: which endpoints, through which stages, in which order. Pure, but that traces are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.client import Client
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.hosts import beyond_loopback
from contract.load import Load
from contract.machine import Machine
from contract.prices import Price
from contract.records import Plan, Stage, VariantPlan
from contract.shapes import Closed, LoadPlan, Payloads, Shape, Steady, Trace
from contract.slo import Slo
from contract.statistics import most_within
from loadtest.plan.arrivals import mean_rate, read_trace
from loadtest.plan.seeds import seeds_of

REPEAT = "__again"
SECOND_NS = 1_000_000_000
BETWEEN_S = 0.3  # two stages: the drain of the first, the order for the second
LAST_S = 0.001  # a trace's window ends so soon after its last arrival


@dataclass(frozen=True)
class Choice:
    """Which load plan a run follows: its name, and what it says; the stages of ``[load]`` when it has no name.

    Where the stages are ``asked`` for one at a time (`loadtest/session.py`), the plan has none.
    """

    name: str = ""
    plan: LoadPlan | None = None
    asked: bool = False


DEFAULT = Choice()


def shapes(load: Load, choice: Choice) -> list[Shape]:
    """Closed-loop stages at each concurrency, then one open-loop stage at the rate of the SLO; or what a plan says."""
    if choice.asked:
        return []
    if choice.plan is not None:
        return list(choice.plan.stages)
    closed: list[Shape] = [Closed(shape="closed", users=users) for users in load.concurrency]
    return [*closed, Steady(shape="steady")]


def stages(load: Load, endpoint: Endpoint, choice: Choice = DEFAULT) -> list[Stage]:
    """The stages of one endpoint; names are unique. Raises UsageError for what cannot be measured."""
    rounds = rounds_of(load, choice)
    found = [_stage(shape, load, endpoint.slo, rounds) for shape in shapes(load, choice)]
    for place, stage in enumerate(found):
        relative = isinstance(stage.shape, Steady) and stage.shape.of_maximum is not None
        if relative and all(earlier.mode == "open" for earlier in found[:place]):
            raise UsageError(
                f"load plan '{choice.name}', stage {place}: of_maximum needs a closed stage before it, which finds it"
            )
    _refuse_one_folder_for_two([shape.payloads for shape in shapes(load, choice)])
    seen: Counter[str] = Counter()
    named = []
    for stage in found:
        seen[stage.name] += 1
        again = f"-{seen[stage.name]}" if seen[stage.name] > 1 else ""
        named.append(stage.model_copy(update={"name": stage.name + again}))
    return named


def rounds_of(load: Load, choice: Choice) -> int:
    """How often every variant takes its turn."""
    if choice.asked:
        return 1
    return (choice.plan.rounds if choice.plan else None) or load.rounds


def _stage(shape: Shape, load: Load, slo: Slo, rounds: int) -> Stage:
    warmup = load.warmup_s if shape.warmup_s is None else shape.warmup_s
    if isinstance(shape, Closed):
        return Stage(
            name=f"closed-{shape.users}",
            mode="closed",
            concurrency=shape.users,
            rate=None,
            shape=shape,
            duration_s=(shape.duration_s or load.duration_s) / rounds,
            warmup_s=warmup,
            in_flight=shape.users,
            judged=False,
            payloads=payload_folder(shape.payloads),
        )
    if isinstance(shape, Steady) and shape.rate is None and shape.of_maximum is None:
        shape = shape.model_copy(update={"rate": slo.rate})
    if isinstance(shape, Trace):
        offsets, _ = read_trace(shape)
        duration = shape.duration_s or float(offsets[-1]) / 1e9 + LAST_S
        played = offsets[offsets < duration * 1e9]
        rate: float | None = len(played) / duration
        busiest: float | None = float(most_within(SECOND_NS, played))
    else:
        steady = shape.rate if isinstance(shape, Steady) else None
        duration = (shape.duration_s or load.open_seconds(steady)) / rounds
        relative = isinstance(shape, Steady) and shape.of_maximum is not None
        rate, busiest = None if relative else mean_rate(shape, duration), None
    return Stage(
        name=_name(shape),
        mode="open",
        concurrency=None,
        rate=rate,
        busiest_rate=busiest,
        shape=shape,
        duration_s=duration,
        warmup_s=0.0 if isinstance(shape, Trace) else warmup,
        in_flight=shape.in_flight or load.in_flight,
        judged=isinstance(shape, Steady) and shape.of_maximum is None,
        payloads=payload_folder(shape.payloads),
    )


def _name(shape: Shape) -> str:
    """E.g. ``open-200`` (Poisson), ``constant-200``, ``open-150%`` (of the most), ``ramp-10-500``, ``trace-monday``."""
    match shape:
        case Steady():
            kind = "open" if shape.arrivals == "poisson" else "constant"
            return f"{kind}-{shape.of_maximum:.0%}" if shape.of_maximum else f"{kind}-{shape.rate:g}"
        case Trace():
            return f"trace-{shape.file.stem}"
    figures = {"ramp": ("rate", "to"), "step": (), "spike": ("rate", "peak"), "sine": ("rate", "amplitude")}
    values = [getattr(shape, key) for key in figures[shape.shape]] or getattr(shape, "rates", [])
    return "-".join([shape.shape, *(f"{value:g}" for value in values)])


def peak_rate(stage: Stage) -> float:
    """The most requests per second that a stage plans; 0 where only the run will tell."""
    shape = stage.shape
    if stage.busiest_rate is not None:
        return stage.busiest_rate
    if shape is None or shape.shape not in PEAKS:
        return stage.rate or 0.0
    return PEAKS[shape.shape](shape)


PEAKS: dict[str, Callable[[Any], float]] = {
    "ramp": lambda shape: max(shape.rate, shape.to),
    "step": lambda shape: max(shape.rates),
    "spike": lambda shape: max(shape.rate, shape.peak),
    "sine": lambda shape: shape.rate + shape.amplitude,
}


def payload_folder(payloads: Payloads) -> str:
    """A name that says what is sent; empty for the golden batch's single requests."""
    parts = []
    if payloads.file:
        parts.append(payloads.file.stem)
    if payloads.rows:
        parts.append("rows-" + "-".join(str(rows) for rows in payloads.rows))
    if payloads.length:
        parts.append(f"{payloads.axis or 'length'}-{payloads.length[0]}-{payloads.length[1]}")
    return "_".join(parts)


def _refuse_one_folder_for_two(asked: list[Payloads]) -> None:
    """Files of one name in two folders would be taken for each other."""
    known: dict[str, Payloads] = {}
    for payloads in asked:
        other = known.setdefault(payload_folder(payloads), payloads)
        if other.file != payloads.file:
            raise UsageError(f"payloads of {other.file} and of {payloads.file} have one name; rename one of the files")


def make_plan(
    run_id: str,
    started: str,
    load: Load,
    endpoints: Endpoints,
    chosen: list[Endpoint],
    machine: Machine,
    versions: dict[str, str],
    choice: Choice = DEFAULT,
    client: Client | None = None,
    price: Price | None = None,
) -> Plan:
    """Every chosen endpoint, and the first real one again at the end of each round, to know the noise (A/A).

    Again it goes through what variants are compared by: the stages that are judged, and the cells of a winner map.
    """
    variants = [
        VariantPlan(id=endpoint.id, endpoint=endpoint, stages=stages(load, endpoint, choice), repeat_of=None)
        for endpoint in chosen
    ]
    repeated = next((item for item in variants if item.endpoint.engine_kind == "real"), None)
    twice = [stage for stage in repeated.stages if stage.judged or _is_cell(stage.shape)] if repeated else []
    if repeated and (twice or choice.asked) and choice.name not in ONCE:
        again = repeated.model_copy(update={"id": repeated.id + REPEAT, "stages": twice, "repeat_of": repeated.id})
        variants.append(again)
    left_out = {endpoint.model for endpoint in endpoints.endpoints} - {endpoint.model for endpoint in chosen}
    return Plan(
        schema_version=1,
        id=run_id,
        started=started,
        machine=machine,
        same_machine=not any(beyond_loopback(endpoint.address) for endpoint in chosen),
        versions=versions,
        target=endpoints.target,
        seeds=seeds_of(load),
        answers=load.answers,
        attempts=load.attempts if choice.name not in ONCE and not choice.asked else 1,
        load_plan=choice.name,
        price=price,
        rounds=rounds_of(load, choice),
        processes=load.processes,
        isolate=load.isolate,
        client=client or Client(),
        max_rps=load.max_rps,
        abort_error_rate=load.abort_error_rate,
        servers=endpoints.servers,
        resident=endpoints.resident,
        one_at_a_time=endpoints.one_at_a_time,
        unserved={name: why for name, why in endpoints.unserved.items() if name.split()[0] not in left_out},
        variants=variants,
    )


def _is_cell(shape: Shape | None) -> bool:
    """Whether it is a closed loop whose requests all have one number of rows: there throughputs are compared."""
    if not isinstance(shape, Closed):
        return False
    sent = shape.payloads
    return sent.rows is not None and len(sent.rows) == 1 and sent.file is None and sent.length is None


ONCE = ("soak", "overload")  # so long, or so hard on the server, that neither is done twice


def seconds(variant: VariantPlan) -> float:
    """About how long a variant takes in one round, for the progress bar."""
    return sum(stage.warmup_s + stage.duration_s + BETWEEN_S for stage in variant.stages)
