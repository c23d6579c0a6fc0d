"""What a record costs, and whether memory stays flat: python -m bench.records [--requests 10000000]

One load process' recorder takes so many records as fast as it can; its resident memory is read at every tenth. Then a
process of its own reads them all and takes their figures, as the report does of one stage; its highest resident memory
is that of the system's count. Then the real command, ``python -m report``, judges a whole run of so many records and
another of 100,000, and is imported. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gevent
import psutil

from bench.recorded import VARIANT, complete, import_seconds, report_command
from contract.parts import Parts
from contract.records import Stage, StageObservation
from contract.slo import Slo
from loadtest.clients import Reply
from loadtest.plan.payloads import Request
from loadtest.process.recorder import Recorder, folder_sink
from report.figures.answers import Judged
from report.figures.summary import summarize

MIB = 1024 * 1024
GAP_NS = 100_000  # ten thousand requests per second
LATENCIES = 65_521  # so many different ones, over and over again
FEW = 100_000  # records of an everyday run
PAYLOADS = 64
# What is wanted (seconds, GB): of 10 million records, of 100,000, and to import it.
WANTED, WANTED_FEW_S, WANTED_IMPORT_S = (30, 1.5), 3, 0.5
IMPORTED = ("report", "report.__main__")


def record(folder: Path, count: int) -> tuple[float, list[float], list[float]]:
    """Seconds that the records took, how late a greenlet beside them woke (ms), resident MiB at every tenth."""
    process = psutil.Process()
    recorder = Recorder(VARIANT, 0, PAYLOADS, 1, folder_sink(folder))
    requests = [Request(f"r{number:04d}", 1, b"x" * 500, {}) for number in range(PAYLOADS)]
    reply = Reply(200, "", b"y" * 120, {}, 1)
    draw = random.Random(1)  # noqa: S311 - latencies, no secrets
    latencies = [round(2e6 * draw.lognormvariate(0.0, 0.5)) for _ in range(LATENCIES)]
    resident: list[float] = []
    late: list[float] = []
    metronome = gevent.spawn(_metronome, late)
    began = time.perf_counter()
    for number in range(count):
        at = number * GAP_NS
        recorder.add(0, requests[number % PAYLOADS], at, at + 1000, at + latencies[number % LATENCIES], reply)
        if number % 64 == 0:
            gevent.sleep(0)
        if (number + 1) % (count // 10) == 0:
            resident.append(round(process.memory_info().rss / MIB, 1))
    recorder.flush()
    seconds = time.perf_counter() - began
    metronome.kill()
    return seconds, sorted(late), resident


def _metronome(late: list[float]) -> None:
    """Somebody who wants to send every millisecond."""
    while True:
        due = time.perf_counter() + 0.001
        gevent.sleep(0.001)
        late.append((time.perf_counter() - due) * 1e3)


def planned(count: int) -> tuple[Stage, StageObservation]:
    """The stage that so many records come from, and its window."""
    end, rate = count * GAP_NS, 1e9 / GAP_NS
    stage = Stage(
        name=f"open-{rate:.0f}",
        mode="open",
        concurrency=None,
        rate=rate,
        duration_s=end / 1e9,
        warmup_s=0,
        in_flight=64,
    )
    return stage, StageObservation(stage=0, window_start_ns=0, window_end_ns=end, client_cpu=0.1, server=None)


def judge(folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds that the figures of one stage took, most resident MiB of this process, requests that were judged."""
    began = time.perf_counter()
    stage, seen = planned(count)
    found = summarize(stage, [seen], Parts(folder, VARIANT).stage(0), Judged(), Slo())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB, on Linux
    return time.perf_counter() - began, most, found.requests


def whole_reports(many: Path, count: int, few: Path) -> dict[str, Any]:
    """Let the real command judge both runs, print what that took beside what is wanted, and return it."""
    complete(many, *planned(count), PAYLOADS)
    complete(few, *planned(FEW), PAYLOADS)
    all_of, some = report_command(many), report_command(few)
    imports = {module: round(import_seconds(module), 3) for module in IMPORTED}
    (most_s, most_gb), shown = WANTED, ", ".join(f"{module} {value:.3f} s" for module, value in imports.items())
    print(f"python -m report of {count:,} records: {all_of.seconds:.1f} s, {all_of.most_gb:.2f} GB at most")
    print(f"of {FEW:,}: {some.seconds:.2f} s; imports: {shown}")
    print(f"wanted: 10,000,000 in {most_s} s and {most_gb} GB, {FEW:,} in {WANTED_FEW_S} s, import {WANTED_IMPORT_S} s")
    taken = {"report_s": round(all_of.seconds, 1), "report_gb": round(all_of.most_gb, 2)}
    return taken | {"few_s": round(some.seconds, 2), "import_s": imports}


def main() -> None:
    parser = argparse.ArgumentParser(description="What a record costs, and whether memory stays flat.")
    parser.add_argument("--requests", type=int, default=10_000_000)
    options = parser.parse_args()
    count: int = options.requests
    with tempfile.TemporaryDirectory() as name:
        many, few = (Path(name) / "results" / run for run in ("20260131-120000", "20260131-130000"))
        many.mkdir(parents=True)
        few.mkdir()
        seconds, late, resident = record(many, count)
        size = sum(file.stat().st_size for file in many.iterdir()) / MIB
        print(f"{count:,} records: {seconds / count * 1e6:.2f} us each, {size:,.0f} MiB; resident MiB: {resident}")
        p99, longest_ms = late[int(0.99 * len(late))], late[-1]
        print(f"who wanted to send every millisecond meanwhile was {p99:.1f} ms late at p99, {longest_ms:.1f} at most")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            took, peak, judged = pool.submit(judge, many, count).result()
        print(f"the figures of the stage: {took:.1f} s, {peak:,.0f} MiB at most, {judged:,} requests judged")
        record(few, FEW)
        taken = whole_reports(many, count, few)
    figures = {
        "requests": count,
        "us_per_record": round(seconds / count * 1e6, 3),
        "longest_ms": round(longest_ms, 1),
        "resident_mib": resident,
        "figures_s": round(took, 1),
        "figures_mib": round(peak),
    }
    print(json.dumps(figures | taken))


if __name__ == "__main__":
    main()
