"""A run's folder before the first request: its plan, the golden batches, traces and requests that its stages need."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from contract.config import ModelsFile, read_config
from contract.endpoints import Endpoint, Endpoints
from contract.errors import UsageError
from contract.files import read_model, write_bytes, write_json
from contract.golden import Example, read_examples, write_examples
from contract.hosts import beyond_loopback, host_of
from contract.machine import is_this_machine, this_machine, versions
from contract.payloads import serialise
from contract.records import Plan, Stage, golden_name
from contract.request_headers import with_secrets
from contract.shapes import Trace
from contract.workspace import Workspace
from loadtest.clients.tls import context as tls_context
from loadtest.plan.admission import ALLOW_HOST, refuse_foreign, refuse_rates, refuse_unbounded
from loadtest.plan.arrivals import read_trace
from loadtest.plan.payload_sets import make_set
from loadtest.plan.payloads import requests_of
from loadtest.plan.planning import Choice, make_plan, peak_rate
from loadtest.plan.possible import refuse_impossible, refuse_senseless

# Files that a load process can open; Locust lifts the limit that far where it may.
MOST_FILES = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 10_000)
MOST_ERRORS_AWAY = 0.2  # of the last requests to a host beyond this machine
PACKAGES = ["locust", "gevent", "hpack", "pyarrow", "numpy"]


def prepare(
    config: ModelsFile,
    workspace: Workspace,
    endpoints: Endpoints,
    chosen: list[Endpoint],
    load_plan: str = "",
    allowed_hosts: Sequence[str] = (),
    asked: str = "",
    joining: bool = False,
    command: Sequence[str] = (),
) -> tuple[Plan, Path]:
    """Plan a run and write what it needs; returns the plan and its folder. Nothing is sent yet.

    ``asked`` names, instead of a ``load_plan``, a run whose stages are asked for one at a time: it begins without any.
    ``joining``: all load processes are started by hand, here or elsewhere, and join. ``command`` is what the plan says
    that was typed; secrets are not part of it, they come from the environment.
    """
    if asked:
        choice = Choice(asked, asked=True)
    else:
        choice = Choice(load_plan, config.plan(load_plan)) if load_plan else Choice()
    now = datetime.now(UTC)
    started = now.isoformat(timespec="seconds")
    plan = make_plan(
        _free_id(workspace, now),
        started,
        config.load,
        endpoints,
        chosen,
        this_machine(),
        versions(PACKAGES),
        choice,
        config.client,
        config.price,
    )
    for endpoint in chosen:
        for needed in (workspace.root / endpoint.golden, workspace.live / endpoint.payloads / "index.json"):
            if not needed.is_file():
                raise UsageError(f"{needed} is gone; run 'make export serve' again")
    said = {"price": config.price, "command": list(command)}
    plan = admitted(plan, allowed_hosts).model_copy(update=said)
    refuse_senseless(plan.model_copy(update={"processes": 0}) if joining else plan)
    for item in plan.variants:  # of who joins nobody knows how many files they can open
        refuse_impossible(item.id, item.stages, None if joining else MOST_FILES * plan.processes)
    same = all(is_this_machine(host_of(endpoint.address)) for endpoint in chosen)
    plan = plan.model_copy(update={"same_machine": same} | ({"processes": 0} if joining else {}))
    with_secrets(plan.client.headers, os.environ)  # what is missing is said before anything is sent
    tls_context(plan.client, "http/1.1")
    results = workspace.results / plan.id
    plan = _with_traces(plan, results)
    made = _make_payloads(plan, workspace, results)
    _check_traces(plan, results, workspace.live)
    write_json(results / "plan.json", plan)
    for endpoint in chosen:  # so that the answers can be judged from the results alone
        target = results / golden_name(endpoint)
        if not target.exists():
            source = workspace.root / endpoint.golden
            extra = made.get(golden_name(endpoint), [])
            if extra:
                write_examples(target, [*read_examples(source), *extra])
            else:
                shutil.copyfile(source, target)
    _point_latest(results)
    return plan, results


def prepare_here(live: Path) -> Path:
    """A run of everything that is up, by the models.toml beside ``live``; for Locust started by hand.

    Raises UsageError for a host beyond this machine: Locust has no flag that allows it.
    """
    workspace = Workspace(live.resolve().parent)
    endpoints = read_model(workspace.endpoints, Endpoints, "make serve")
    config = read_config(workspace.root / "models.toml")
    refuse_foreign([item.address for item in endpoints.endpoints], (), leave=f"python -m loadtest {ALLOW_HOST}")
    _, results = prepare(config, workspace, endpoints, list(endpoints.endpoints))
    return results


def admitted(plan: Plan, allowed_hosts: Sequence[str]) -> Plan:
    """The plan, if it may be carried out. Raises UsageError for hosts and rates that nobody allowed.

    Whoever loads a host beyond this machine sets a ceiling, and stops when it fails.
    """
    addresses = [item.endpoint.address for item in plan.variants]
    refuse_foreign(addresses, allowed_hosts)
    refuse_unbounded(addresses, plan.max_rps)
    rates = {f"{item.id} {stage.name}": peak_rate(stage) for item in plan.variants for stage in item.stages}
    refuse_rates(rates, plan.max_rps)
    if plan.abort_error_rate is None and any(map(beyond_loopback, addresses)):
        return plan.model_copy(update={"abort_error_rate": MOST_ERRORS_AWAY})
    return plan


def _with_traces(plan: Plan, results: Path) -> Plan:
    """Copy every trace into the results and let the plan name the copy."""

    def kept(stage: Stage) -> Stage:
        if not isinstance(stage.shape, Trace):
            return stage
        data = stage.shape.file.read_bytes()
        name = f"trace-{hashlib.sha256(data).hexdigest()[:12]}.csv"
        write_bytes(results / name, data)
        return stage.model_copy(update={"shape": stage.shape.model_copy(update={"file": Path(name)})})

    variants = [item.model_copy(update={"stages": [kept(stage) for stage in item.stages]}) for item in plan.variants]
    return plan.model_copy(update={"variants": variants})


def _check_traces(plan: Plan, results: Path, live: Path) -> None:
    """Raises UsageError for the first request that a trace names and that is not there to be sent."""
    for item in plan.variants:
        for stage in item.stages:
            if not isinstance(stage.shape, Trace):
                continue
            known = requests_of(item, stage, results, live).named()
            _, keys = read_trace(stage.shape.model_copy(update={"file": results / stage.shape.file}))
            missing = next((key for key in keys if key and key not in known), None)
            if missing is not None:
                raise UsageError(
                    f"{stage.name}: the trace names the request '{missing}', which {item.endpoint.model} "
                    f"does not have; it has {', '.join(list(known)[:3])}, …"
                )


def _make_payloads(plan: Plan, workspace: Workspace, results: Path) -> dict[str, list[Example]]:
    """Make and serialise the requests of every stage that asks for its own; by golden copy, to be judged with it."""
    sets = sorted({stage.payloads for item in plan.variants for stage in item.stages if stage.payloads})
    made: dict[tuple[str, str], list[Example]] = {}
    for item in plan.variants:
        endpoint = item.endpoint
        for stage in item.stages:
            if not stage.payloads or stage.shape is None or item.repeat_of:
                continue
            key = golden_name(endpoint), stage.payloads
            if key not in made:
                golden = read_examples(workspace.root / endpoint.golden)
                number = sets.index(stage.payloads)
                made[key] = make_set(stage.shape.payloads, endpoint, golden, number, plan.seeds.payload + number)
            folder = Path(endpoint.payloads).relative_to("payloads")
            serialise(
                endpoint.engine,
                endpoint.protocol,
                endpoint.served_name,
                endpoint.asked_version,
                endpoint.outputs,
                made[key],
                results / "payloads" / stage.payloads / folder,
            )
    by_golden: dict[str, list[Example]] = {}
    for (golden_copy, _), examples in made.items():
        by_golden.setdefault(golden_copy, []).extend(examples)
    return by_golden


def _free_id(workspace: Workspace, now: datetime) -> str:
    base = now.strftime("%Y%m%d-%H%M%S")
    number, name = 1, base
    while (workspace.results / name).exists():
        number += 1
        name = f"{base}-{number}"
    return name


def _point_latest(results: Path) -> None:
    link = results.with_name("latest")
    temporary = results.with_name(f".latest-{os.getpid()}")
    temporary.symlink_to(results.name)
    temporary.replace(link)
