"""A workspace whose only endpoint is the server with the known latency, and the real load command against it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.codecs.triton_http import LENGTH_HEADER
from contract.endpoints import Endpoint
from contract.files import write_bytes, write_json, write_text
from contract.golden import Example
from contract.records import Plan
from loadtest.plan.payloads import read_requests
from serving.proof.payloads import write_payloads
from tests.builders import endpoint, endpoints, examples, served, server, workspace
from tests.conftest import ROOT
from tests.triton_answers import http_body

VARIANT = "words__onnx__triton__http"
TOML = """schema_version = 1

[load]
concurrency = {concurrency}
duration_s = {closed_s}
open_duration_s = {open_s}
warmup_s = 0.2
rounds = 1
attempts = 1

[models.words]
framework = "pytorch"
source = "nothing:here"
formats = ["onnx"]
inputs = [{{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }}]
outputs = [{{ name = "logits", dtype = "float32", dims = ["batch", 2] }}]
slo = {{ rate = {rate} }}
"""


@dataclass(frozen=True)
class Known:
    """The running server and the workspace that names it."""

    root: Path
    port: int

    def ask(self, path: str) -> Any:
        """A GET to the server itself, past the load."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as answer:
            return json.load(answer)

    def configure(self, concurrency: list[int], closed_s: float, open_s: float, rate: float) -> None:
        """Write models.toml and the endpoint whose SLO has that rate."""
        text = TOML.format(concurrency=concurrency, closed_s=closed_s, open_s=open_s, rate=rate)
        write_text(self.root / "models.toml", text)
        base = endpoint(address=f"127.0.0.1:{self.port}", engine_kind="embedded", stand_in_for="a real server")
        item: Endpoint = base.model_copy(update={"slo": base.slo.model_copy(update={"rate": rate})})
        record = server(ports={"http": self.port})
        write_json(self.root / "live" / "endpoints.json", endpoints(item, servers=[record]))

    def command(self) -> list[str]:
        """The load command as make runs it."""
        words = ["--workspace", str(self.root), "--config", str(self.root / "models.toml")]
        return [sys.executable, "-m", "loadtest", "--uncertified", *words]

    def start(self) -> subprocess.Popen[str]:
        """Run the load command in a process group of its own."""
        return subprocess.Popen(
            self.command(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def newest(self) -> Path:
        """The folder of the newest run."""
        return (self.root / "results" / "latest").resolve()

    def plan(self) -> Plan:
        return Plan.model_validate_json((self.newest() / "plan.json").read_text())


def write_answers(folder: Path, payloads: Path, golden: list[Example]) -> None:
    """The golden answers as Triton's HTTP protocol writes them, by the hash of the request's tensors."""
    sent = {request.key: request for request in read_requests(payloads, every=True).requests}
    for example in golden:
        body, header = http_body(example.outputs)
        request = sent[example.key]  # the client may add to its JSON header, but not to its tensors
        asked = hashlib.sha256(request.body[int(request.headers[LENGTH_HEADER]) :]).hexdigest()
        write_bytes(folder / f"{asked}.bin", body)
        write_text(folder / f"{asked}.length", str(header))


@contextmanager
def known_latency(root: Path, delay_ms: float) -> Iterator[Known]:
    """Start the server and prepare a workspace; the server is gone afterwards."""
    place = workspace(root)
    item = served(place)
    golden = examples()
    write_payloads(item, "http", golden, place.live)
    write_answers(root / "answers", place.live / "payloads/triton/words__onnx/http", golden)
    command = [sys.executable, "-m", "tests.known_latency_server", "--answers", str(root / "answers")]
    process = subprocess.Popen(
        [*command, "--delay-ms", str(delay_ms)], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        yield Known(root, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
