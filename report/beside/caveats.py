"""What could mislead about every figure of a run: the machine, the stand-ins, the neighbours, what happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contract.events import Event
from contract.records import Plan
from contract.search import Search
from contract.slo import Slo
from contract.verdict import Variant
from report.figures.other_work import other_work

ELSEWHERE = "The servers ran elsewhere"  # `recommending.py` looks for it
SHARED = "The load generator and the servers share"  # `circumstances.py` looks for it


def outages(events: list[Event]) -> list[str]:
    """What happened to the servers during the run: whatever was measured meanwhile shows it as errors."""
    return [f"During the run, at {event.at[11:19]} UTC: {event.what}: {event.detail}." for event in events]


def cut_short(plan: Plan, search: Search | None) -> list[str]:
    """Whether a search was interrupted, and how far it had come."""
    if search is None or search.complete:
        return []
    done = sum(1 for item in search.found if item.limited_by)
    return [
        f"The search was interrupted: {done} of {len(plan.variants)} variants had met their limit. "
        "Of the others a rate may be too low or missing."
    ]


def other_works(variants: Sequence[Variant]) -> str:
    """How much of the machine other work had, and in how many stages; empty where it had little or was not sampled."""
    known = [work for item in variants for stage in item.stages if (work := other_work(stage.server_side))]
    much = [work for work in known if work.much]
    if not much:
        return ""
    mean = sum(work.taken for work in much) / len(much)
    return f"other work took {mean:.1f} of {much[0].cores} cores in {len(much)} of {len(known)} stages"


def busy(variants: Sequence[Variant]) -> list[str]:
    """That servers and load had to share the machine with other work, if they had."""
    works = other_works(variants)
    return (
        [f"O{works[1:]}: servers and load had to share what was left. Measure again on a quiet machine."]
        if works
        else []
    )


def invalid(variants: Sequence[Variant]) -> list[str]:
    """How many stages say nothing, of those that are shown for themselves and did not merely steer a search."""
    shown = [stage for item in variants for stage in item.stages if not stage.steers]
    spoiled = sum(not stage.valid for stage in shown)
    if not spoiled:
        return []
    are = "is" if spoiled == 1 else "are"
    return [f"{spoiled} of {len(shown)} stages {are} INVALID: nothing is judged from what is shown of them."]


def by_default(plan: Plan) -> list[str]:
    """Whose objectives nobody stated, or are those that hold where nobody does."""
    default = Slo()
    models = sorted({item.endpoint.model for item in plan.variants if item.endpoint.slo == default})
    if not models:
        return []
    latency = ", ".join(f"{name} <= {limit:g} ms" for name, limit in default.latency_ms.items())
    return [
        f"The objectives are the defaults ({latency}, {100 * (1 - default.error_rate):g} % without error, at "
        f"{default.rate:g} requests/s): {', '.join(models)}. If that is not what was promised, say what is under "
        "[models.NAME.slo] of models.toml."
    ]


def warnings(plan: Plan) -> list[str]:
    """What holds for every figure, from how the run was made."""
    endpoints = [item.endpoint for item in plan.variants]
    found = []
    if plan.same_machine:
        found.append(
            f"{SHARED} the {plan.machine.cores} cores of one machine: "
            "more load is less server. Throughput is a lower bound, latency an upper one."
        )
    elif any(server.place == "url" for server in plan.servers):
        found.append(f"{ELSEWHERE}: processor, cores and memory of the machine are those of where the load came from.")
    if any(endpoint.engine_kind == "embedded" for endpoint in endpoints):
        found.append(
            "TF Serving was the embedded stand-in (Python), not tensorflow_model_server (C++): its figures show that "
            "the protocol works, not how fast TF Serving is. It is shown and never ranked."
        )
    stand_ins = sorted({e.stand_in_for for e in endpoints if e.stand_in_for and e.engine == "triton"})
    if stand_ins:
        found.append(
            "Triton's core and front ends were real; its backends were python-based and stand in for "
            f"{' and '.join(stand_ins)}."
        )
    on_cpu = [endpoint.id for endpoint in endpoints if endpoint.device == "cpu"]
    if on_cpu:
        what = "Everything" if len(on_cpu) == len(endpoints) else ", ".join(on_cpu)
        found.append(f"{what} ran on a CPU; nothing there says how a GPU would do.")
    found += by_default(plan)
    measured = {f"{endpoint.served_name} on {endpoint.engine}" for endpoint in endpoints}
    left_out = [name for name in plan.resident if name not in measured]
    if left_out:
        found.append(
            f"Served but not measured in this run: {', '.join(left_out)}. A search leaves out embedded stand-ins, "
            "which are never ranked, and --variant names a choice."
        )
    if plan.isolate:
        found.append("Triton held the variant under test alone; what runs on other engines stayed loaded.")
    elif plan.one_at_a_time:
        found.append(
            "Triton held the formats of one model at a time; idle neighbours among them cost the one under test."
        )
    elif len(plan.resident) > 1:
        found.append(
            f"{len(plan.resident)} served models were resident at once; idle neighbours cost the one under test."
        )
    return found
