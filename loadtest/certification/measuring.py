"""One certificate: an endpoint's requests by the load test's own road to null servers, and what the records say."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from contract.certificate import Certificate, Setting
from contract.cores import on_cores
from contract.endpoints import Endpoint
from contract.files import write_json
from contract.load import Affinity
from contract.progress import Bar, say
from contract.records import read_answers, read_records
from loadtest.certification import figures
from loadtest.certification.asking import what_is_sent
from loadtest.certification.null_server import null_server
from loadtest.certification.open_measuring import measure_open_ceiling
from loadtest.certification.plan import certifying_plan, closed_stage, observation, open_stage, variant
from loadtest.certification.self_made import shown_to
from loadtest.driving import drive, total_seconds
from loadtest.showing.view import Lines

CEILING, ADDED, OPENED = "ceiling", "added", "open-ceiling"
ADDED_S = 2.5
RATE = 200.0  # requests per second beside which the client has nothing else to do, and 500 in the window
DELAY_MS = 5.0
ATTEMPTS = 2


def certify(
    endpoint: Endpoint, live: Path, folder: Path, answer: Path, setting: Setting, affinity: Affinity
) -> Certificate:
    """Measure the ceilings and what the client adds, for requests and an ``answer`` like those of ``endpoint``.

    ``answer`` is a file with one sampled answer. ``folder`` is emptied and keeps plan, records and logs. While the
    machine was the limit of the closed loop it is measured again, and then the highest ceiling counts; an open loop's
    is not sought there, for it is the more easily disturbed. Raises LoadproofError when requests failed, ServerError
    when a null server did not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    measured: list[Certificate] = []
    for attempt in range(1, ATTEMPTS + 1):
        if measured:
            say(f"certify, again ({attempt} of {ATTEMPTS}): other work on the machine was the limit")
        found = _measure(endpoint, live, folder / f"attempt-{attempt}", answer, setting, affinity)
        if found.ceiling_of != "machine":
            opened = measure_open_ceiling(endpoint, live, folder / OPENED, answer, setting, affinity, found.ceiling_rps)
            return found.model_copy(update={"open_ceiling": opened})
        measured.append(found)
    return max(measured, key=lambda item: item.ceiling_rps)


def _measure(
    endpoint: Endpoint, live: Path, folder: Path, answer: Path, setting: Setting, affinity: Affinity
) -> Certificate:
    shown, client = shown_to(setting.client, folder)
    with ExitStack() as stack:
        fast, slow = (
            stack.enter_context(
                null_server(endpoint.protocol, answer, folder / name, affinity.servers, *held, shown=shown)
            )
            for name, held in ((CEILING, ()), (ADDED, ("--delay-ms", f"{DELAY_MS:g}")))
        )
        at_most = variant(CEILING, endpoint, fast.address, closed_stage(setting.concurrency))
        plan = certifying_plan(
            [at_most, variant(ADDED, endpoint, slow.address, open_stage(RATE, ADDED_S))], setting, client
        )
        write_json(folder / "plan.json", plan)
        with on_cores(affinity.load, "affinity.load"), Bar("certify", total_seconds(plan)) as bar:
            drive(plan, folder, live, Lines(bar))  # figures would cost the client that is certified
    at_ceiling = observation(folder, CEILING)
    server_cpu = fast.cpu(at_ceiling.window_start_ns, at_ceiling.window_end_ns)
    matched = figures.match(read_records(folder, ADDED), observation(folder, ADDED), slow.seen())
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
