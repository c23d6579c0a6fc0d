"""A workspace whose only endpoint is a null server, and the real load command against it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from contract.endpoints import Endpoint, Protocol
from contract.files import read_model, write_bytes, write_json, write_text
from contract.records import Observation, StageObservation, answer_frame, read_records
from loadtest.certification.figures import Matched, match
from loadtest.certification.null_server import NullServer, null_server
from loadtest.certification.self_made import SelfMade, self_made
from serving.proof.payloads import write_payloads
from tests.builders import endpoint, endpoints, examples, served, workspace
from tests.conftest import ROOT
from tests.known_latency import TOML

HEADERS = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "100"}
BODY = b"{" + b" " * 98 + b"}" + bytes(8)


@dataclass(frozen=True)
class Nulled:
    """The workspace, its endpoint, and the null server that the endpoint names."""

    root: Path
    endpoint: Endpoint
    server: NullServer
    shown: SelfMade | None = None

    def configure(self, concurrency: list[int], closed_s: float, open_s: float, rate: float) -> None:
        """Write models.toml and the endpoint whose SLO has that rate."""
        text = TOML.format(concurrency=concurrency, closed_s=closed_s, open_s=open_s, rate=rate)
        text += f'\n[client]\ntls = true\nca = "{self.shown.certificate}"\n' if self.shown else ""
        write_text(self.root / "models.toml", text)
        slo = self.endpoint.slo.model_copy(update={"rate": rate})
        item = self.endpoint.model_copy(update={"slo": slo})
        # No server record: a null server has no counters, and whoever asked for them would be seen as a request.
        write_json(self.root / "live" / "endpoints.json", endpoints(item, servers=[]))

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """``python -m loadtest words…`` as a person types it."""
        command = [sys.executable, "-m", "loadtest", *words, "--workspace", str(self.root)]
        command += ["--config", str(self.root / "models.toml")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)

    @property
    def results(self) -> Path:
        """The folder of the newest run."""
        return (self.root / "results" / "latest").resolve()

    def records(self) -> pa.Table:
        return read_records(self.results, self.endpoint.id)

    def observed(self) -> list[StageObservation]:
        file = self.results / f"server-stats-{self.endpoint.id}.json"
        return read_model(file, Observation, "make loadtest").stages

    def matched(self, stage: int) -> Matched:
        """The requests of a stage beside what the server, which has been stopped, saw of them."""
        return match(self.records(), self.observed()[stage], self.server.seen())


@contextmanager
def null_latency(root: Path, protocol: Protocol, *held: str, tls: bool = False) -> Iterator[Nulled]:
    """Start a null server and prepare a workspace; the server is gone afterwards, what it has seen is there."""
    place = workspace(root)
    write_payloads(served(place), protocol, examples(), place.live)
    answer = root / "answer.bin"
    write_bytes(answer, answer_frame(0, "r0000", HEADERS, BODY))
    shown = self_made(root / "tls") if tls else None
    with null_server(protocol, answer, root / "null", [], *held, shown=shown) as server:
        item = endpoint(protocol=protocol, address=server.address, engine_kind="embedded", stand_in_for="a real server")
        yield Nulled(root, item, server, shown)
