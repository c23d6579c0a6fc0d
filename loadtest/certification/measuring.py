"""One certificate: an endpoint's requests by the load test's own road to null servers, and what the records say."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from contract.certificate import Certificate, Setting
from contract.client import Client
from contract.cores import on_cores
from contract.endpoints import Endpoint
from contract.files import read_model, write_json
from contract.load import Affinity
from contract.progress import Bar
from contract.records import Observation, Plan, Seeds, Stage, StageObservation, VariantPlan, read_answers, read_records
from loadtest.certification import figures
from loadtest.certification.asking import what_is_sent
from loadtest.certification.null_server import null_server
from loadtest.certification.self_made import self_made
from loadtest.driving import drive, total_seconds
from loadtest.view import Lines

CEILING, ADDED = "ceiling", "added"
CEILING_S, ADDED_S, WARMUP_S = 2.0, 2.5, 0.3
RATE = 200.0  # requests per second beside which the client has nothing else to do, and 500 in the window
DELAY_MS = 5.0
ATTEMPTS = 2


def certify(
    endpoint: Endpoint, live: Path, folder: Path, answer: Path, setting: Setting, affinity: Affinity
) -> Certificate:
    """Measure the ceiling and what the client adds, for requests and an ``answer`` like those of ``endpoint``.

    ``answer`` is a file with one sampled answer. ``folder`` is emptied and keeps plan, records and logs. While the
    machine was the limit it is measured again, and then the highest ceiling counts. Raises LoadproofError when requests
    failed, ServerError when a null server did not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    measured: list[Certificate] = []
    for attempt in range(1, ATTEMPTS + 1):
        found = _measure(endpoint, live, folder / f"attempt-{attempt}", answer, setting, affinity)
        if found.ceiling_of != "machine":
            return found
        measured.append(found)
    return max(measured, key=lambda item: item.ceiling_rps)


def _measure(
    endpoint: Endpoint, live: Path, folder: Path, answer: Path, setting: Setting, affinity: Affinity
) -> Certificate:
    shown = self_made(folder / "tls") if setting.client.tls else None
    with ExitStack() as stack:
        fast, slow = (
            stack.enter_context(
                null_server(endpoint.protocol, answer, folder / name, affinity.servers, *held, shown=shown)
            )
            for name, held in ((CEILING, ()), (ADDED, ("--delay-ms", f"{DELAY_MS:g}")))
        )
        client = setting.client.model_copy(update={"ca": shown.certificate.resolve()}) if shown else setting.client
        plan = certifying_plan(endpoint, fast.address, slow.address, setting, client)
        write_json(folder / "plan.json", plan)
        with on_cores(affinity.load, "affinity.load"), Bar("certify", total_seconds(plan)) as bar:
            drive(plan, folder, live, Lines(bar))  # figures would cost the client that is certified
    at_ceiling = _observed(folder, CEILING)
    server_cpu = fast.cpu(at_ceiling.window_start_ns, at_ceiling.window_end_ns)
    matched = figures.match(read_records(folder, ADDED), _observed(folder, ADDED), slow.seen())
    _, _, _, body = next(read_answers(answer))
    return Certificate(
        schema_version=1,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        setting=setting,
        request_bytes=round(what_is_sent(live / endpoint.payloads).mean_bytes),
        answer_bytes=len(body),
        ceiling_rps=round(figures.ceiling(read_records(folder, CEILING), at_ceiling), 1),
        ceiling_of=figures.ceiling_of(at_ceiling.client_cpu, server_cpu),
        client_cpu=at_ceiling.client_cpu,
        server_cpu=round(server_cpu, 4),
        added=figures.added(RATE, matched),
    )


def certifying_plan(endpoint: Endpoint, fast: str, slow: str, setting: Setting, client: Client) -> Plan:
    """The endpoint twice, at the addresses of two null servers: as much as possible, and at a moderate rate.

    ``client`` is the setting's, which trusts the null servers.
    """
    closed = Stage(
        name=f"closed-{setting.concurrency}",
        mode="closed",
        concurrency=setting.concurrency,
        rate=None,
        duration_s=CEILING_S,
        warmup_s=WARMUP_S,
        in_flight=setting.concurrency,
    )
    opened = Stage(
        name=f"open-{RATE:g}",
        mode="open",
        concurrency=None,
        rate=RATE,
        duration_s=ADDED_S,
        warmup_s=WARMUP_S,
        in_flight=64,
    )
    variants = [
        VariantPlan(id=name, endpoint=endpoint.model_copy(update={"address": address}), stages=[stage], repeat_of=None)
        for name, address, stage in ((CEILING, fast, closed), (ADDED, slow, opened))
    ]
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
        variants=variants,
    )


def _observed(folder: Path, variant: str) -> StageObservation:
    return read_model(folder / f"server-stats-{variant}.json", Observation, "python -m loadtest certify").stages[-1]
