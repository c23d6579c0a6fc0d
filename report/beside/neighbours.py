"""What else is loaded while a variant is under load: a row of the fairness sheet, from the run's plan.

Counted and not named, for by name every column of a sheet would differ from every other: each is the other's neighbour.
Where models are loaded and unloaded during the run (`isolate`, one model at a time) the counts tell it. The plan's list
is of what we serve, wherever: what else somebody else's server holds, or its machine, nobody has told us.
"""

from __future__ import annotations

from collections import Counter

from contract.endpoints import Endpoint, EngineName
from contract.hosts import beyond_loopback
from contract.records import Plan
from report import words

NAME = "also resident"
ALONE, NOT_KNOWN = "nothing", "not known"
FOREIGN = "kserve"  # the engine whose models have names of their own
BY_URL = "url"  # the place of a server that is not ours


def with_neighbours(plan: Plan, endpoint: Endpoint) -> dict[str, str]:
    """The endpoint's conditions and what else is resident; older results, which have none, stay without."""
    return {**endpoint.conditions, NAME: neighbours(plan, endpoint)} if endpoint.conditions else {}


def neighbours(plan: Plan, endpoint: Endpoint) -> str:
    """E.g. ``2 more exports of this model; of others 3 on Triton, 1 on TF Serving``."""
    this = f"{endpoint.served_name} on {endpoint.engine}"
    if this not in plan.resident or _foreign(plan, endpoint):
        return NOT_KNOWN
    measured = [item.endpoint for item in plan.variants]
    models = {f"{item.served_name} on {item.engine}": item.model for item in measured}
    elsewhere = _elsewhere(plan)
    own, others, unknown = 0, Counter[str](), 0
    for name in plan.resident:
        served, _, engine = name.rpartition(" on ")
        if name == this or engine in elsewhere:
            continue
        if engine == FOREIGN and name not in models:
            unknown += 1
            continue
        # What was not measured is known by name: on Triton MODEL__FORMAT, and no model's name holds two underscores.
        model = models.get(name, served.partition("__")[0])
        if not _held(plan, endpoint, model, engine):
            continue
        if model == endpoint.model:
            own += 1
        else:
            others[engine] += 1
    listed = ", ".join(f"{count} on {words.ENGINES.get(engine, engine)}" for engine, count in others.items())
    parts = [f"{words.counted(own, 'more export')} of this model"] if own else []
    parts += [f"of others {listed}"] if listed else []
    parts += [f"{unknown} on {words.ENGINES[FOREIGN]}, of which model is {NOT_KNOWN}"] if unknown else []
    return "; ".join(parts) or ALONE


def _foreign(plan: Plan, endpoint: Endpoint) -> bool:
    """Whether somebody else's server answers, which may hold what we never heard of: on another machine, or on ours."""
    by_url = any(server.engine == endpoint.engine and server.place == BY_URL for server in plan.servers)
    return by_url or beyond_loopback(endpoint.address)


def _elsewhere(plan: Plan) -> set[EngineName]:
    """Engines of which no server runs on this machine: what they hold takes nothing away here."""
    here = {item.engine for item in plan.servers if item.place != BY_URL or not beyond_loopback(f"{item.host}:0")}
    return {item.engine for item in plan.servers} - here


def _held(plan: Plan, endpoint: Endpoint, model: str, engine: str) -> bool:
    """Whether an engine holds another model than the endpoint's own. Only Triton is told to let models go."""
    if engine != "triton":
        return True
    if plan.isolate:
        return False
    return not plan.one_at_a_time or model == endpoint.model
