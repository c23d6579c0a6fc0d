"""The table of load generators: how each is run for one window, how its figure is read, what is wanted of ours."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.generators.load import load_command
from bench.generators.perf_analyzer import analyzed, without_perf_analyzer
from bench.generators.rig import Rig, output_of
from contract.errors import ServerError

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """Requests per second; and per second of the generator's own CPU where it was measured from within."""

    rps: float
    rps_per_core: float | None = None


@dataclass(frozen=True)
class Contender:
    """``run`` measures one window; ``absent`` says why it cannot, and how that is mended."""

    run: Callable[[Rig], Figure]
    absent: Callable[[Rig], str] = lambda rig: ""


def module(name: str, *words: str) -> Contender:
    """A program of ours that ends with one JSON document."""

    def run(rig: Rig) -> Figure:
        command = [sys.executable, "-m", f"bench.generators.{name}", str(rig.file), *words, str(rig.window_s)]
        found = json.loads(output_of(command, rig).splitlines()[-1])
        return Figure(found["rps"], found["rps_per_core"])

    return Contender(run)


def locust(file: str) -> Contender:
    """Locust, headless; its figure is of the seconds that it was busy from beginning to end."""

    def run(rig: Rig) -> Figure:
        users = str(rig.question.users)
        words = ["--headless", "--users", users, "--spawn-rate", "100", "--run-time", f"{rig.window_s + 2:.0f}s"]
        command = [sys.executable, "-m", "locust", "-f", str(HERE / file), *words, "--json", "--skip-log"]
        (found,) = json.loads(output_of(command, rig))
        if found["num_failures"]:
            raise ServerError(f"{file}: {found['num_failures']} of {found['num_requests']} requests failed")
        whole = [count for _, count in sorted(found["num_reqs_per_sec"].items())][1:-1]
        if not whole:
            raise ServerError(f"{file}: it was busy for less than a second")
        return Figure(sum(whole) / len(whole))

    return Contender(run)


def wrk(call: str) -> Contender:
    """wrk with one thread and the same body."""

    def run(rig: Rig) -> Figure:
        asked = rig.question.calls[call]
        body, script = rig.file.with_name(f"{call}.body"), rig.file.with_name(f"{call}.lua")
        body.write_bytes(asked.data)
        headers = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in asked.headers.items()]
        read = [f"local file = io.open({json.dumps(str(body))}, 'rb')", "wrk.body = file:read('*a')", "file:close()"]
        script.write_text("\n".join(["wrk.method = 'POST'", *read, *headers]))
        words = ["-t1", f"-c{rig.question.users}", f"-d{rig.window_s:.0f}s", "-s", str(script)]
        said = output_of(["wrk", *words, f"http://{asked.address}{asked.target}"], rig)
        if "Non-2xx" in said or "Socket errors" in said:
            raise ServerError(f"wrk had failures: {said[-300:]}")
        return Figure(_number(r"Requests/sec:\s+([\d.]+)", said))

    return Contender(run, lambda rig: "" if shutil.which("wrk") else "apt-get install wrk")


def perf_analyzer(protocol: str, *words: str) -> Contender:
    """perf_analyzer over three windows that together are as long as the others'."""

    def run(rig: Rig) -> Figure:
        users = str(rig.question.users)
        load = ["--concurrency-range", f"{users}:{users}", *words]
        return Figure(_number(r"throughput: ([\d.]+) infer/sec", analyzed(rig, protocol, load)))

    return Contender(run, without_perf_analyzer)


def load(protocol: str, *words: str) -> Contender:
    """The real load command, with further ``words``; its own records read back."""

    def run(rig: Rig) -> Figure:
        return Figure(load_command(rig.workspace, protocol, lambda command: output_of([*command, *words], rig)))

    return Contender(run)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise ServerError(f"its output has no figure: {text[-300:]}")
    return float(found[1])


CONTENDERS = {
    "http": module("ours", "http"),
    "grpc": module("ours", "grpc"),
    "http-null": module("ours", "http-null"),
    "http-null-frozen": module("ours", "http-null", "frozen"),
    "load-http": load("http"),
    "load-grpc": load("grpc"),
    "load-http-2": load("http", "--processes", "2"),  # one per core of the machine that all of this was measured on
    "load-grpc-2": load("grpc", "--processes", "2"),
    "locust-ours": locust("locust_ours.py"),
    "perf_analyzer-http": perf_analyzer("http"),
    "perf_analyzer-grpc": perf_analyzer("grpc"),
    "perf_analyzer-grpc-async": perf_analyzer("grpc", "-a"),
    "wrk": wrk("http"),
    "wrk-null": wrk("http-null"),
    "locust-tritonclient": locust("locust_tritonclient.py"),
    "locust-fasthttp": locust("locust_fasthttp.py"),
    "geventhttpclient": module("geventhttpclient"),
    "grpcio": module("grpcio"),
}
# ours, theirs, at least so many times their requests per second; None where nothing is wanted
WANTED: list[tuple[str, str, float | None]] = [
    ("http", "perf_analyzer-http", 1.0),
    ("http", "locust-tritonclient", 1.1),
    ("http", "locust-fasthttp", None),
    ("http", "geventhttpclient", None),
    ("geventhttpclient", "locust-fasthttp", None),
    ("http", "wrk", 0.7),
    ("http-null", "wrk-null", None),
    ("http-null-frozen", "http-null", None),
    ("grpc", "perf_analyzer-grpc", 0.7),
    ("grpc", "perf_analyzer-grpc-async", None),
    ("grpc", "grpcio", 1.5),
    ("load-http", "perf_analyzer-http", 1.0),
    ("load-http", "locust-tritonclient", 1.1),
    ("load-http", "wrk", 0.7),
    ("load-grpc", "perf_analyzer-grpc", 0.7),
    ("load-http-2", "load-http", None),
    ("load-http-2", "perf_analyzer-http", None),
    ("load-http-2", "wrk", None),
    ("load-grpc-2", "load-grpc", None),
    ("load-grpc-2", "perf_analyzer-grpc", None),
    ("locust-ours", "http", None),
]
WANTED_PER_CORE = {"http-null": 12_000.0}
