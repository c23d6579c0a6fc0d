"""Explicit control of one version of a served model: load and unload on Triton, reload on either engine.

The others stay as they are. What the trees say stays too: a start, a restart, and a load of the whole model bring back
what was unloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contract.compare import Parity, compare
from contract.endpoints import Endpoint, ServerRecord
from contract.errors import ParityError, UsageError
from contract.files import read_model
from contract.golden import Example, read_examples
from contract.manifest import GOLDEN, MANIFEST, FormatRecord, Manifest
from contract.payloads import serialise
from contract.table import choose
from contract.workspace import Workspace
from serving.places.turn import turn
from serving.proof.probe import TRANSPORTS, ask
from serving.proof.rechecking import FEW
from serving.rolling.models import ELSEWHERE, find, insist_on_bytes, insist_on_triton
from serving.rolling.roll import ROLLERS


@dataclass(frozen=True)
class Version:
    """One version of a served model, and the model's endpoints, which name the newest."""

    number: int
    endpoints: list[Endpoint]
    workspace: Workspace

    def __str__(self) -> str:
        return f"version {self.number} of {self.name}"

    @property
    def name(self) -> str:
        """The model's, on its server."""
        return self.endpoints[0].served_name

    @property
    def newest(self) -> int:
        """The version that the endpoints name."""
        return self.endpoints[0].version

    def insist_on_bytes(self) -> None:
        """Raise UsageError where its files are not what was proven."""
        insist_on_bytes(self.endpoints[0], self.workspace, self.number, self._record().sha256 or "")

    def insist_on_answers(self) -> None:
        """Ask it a few of its golden requests over every protocol.

        Raises ParityError where an answer is wrong, ServerError where there is none.
        """
        examples = [item for item in read_examples(self._export / GOLDEN) if item.rows == 1][:FEW]
        for endpoint in self.endpoints:
            parity = self._ask(endpoint, examples)
            if not parity.passed:
                raise ParityError(f"{self} answers wrongly over {endpoint.protocol}: {'; '.join(parity.reasons)}")

    def _ask(self, endpoint: Endpoint, examples: list[Example]) -> Parity:
        engine, outputs = endpoint.engine, endpoint.outputs
        golden = {example.key: example.outputs for example in examples}
        with TemporaryDirectory() as folder:
            index = serialise(engine, endpoint.protocol, self.name, self.number, outputs, examples, Path(folder))
            send = TRANSPORTS[endpoint.protocol](endpoint.address, index.target)
            pairs = [
                (entry.key, golden[entry.key], ask(send, engine, self.name, outputs, index, entry, Path(folder)))
                for entry in index.payloads
            ]
        return compare(pairs, self._record().tolerance)

    def _record(self) -> FormatRecord:
        return read_model(self._export / MANIFEST, Manifest, "make export").formats[self.endpoints[0].format]

    @property
    def _export(self) -> Path:
        return self.workspace.artifacts / self.endpoints[0].model / str(self.number)


def load_version(name: str, number: int, workspace: Workspace) -> str:
    """Load one version of a model that is loaded, ask it again, and say how long it took.

    Raises UsageError where it is not laid out, or not as it was proven, ParityError where its answers are wrong: it is
    unloaded again then.
    """
    with turn(workspace, "load"):
        insist_on_triton(name, workspace)
        version, _, roller = _find(name, number, workspace)
        version.insist_on_bytes()
        seconds = roller.load_version(name, number)
        try:
            version.insist_on_answers()
        except ParityError as error:
            if number != version.newest:
                roller.unload_version(name, number)
                raise ParityError(f"{error}; it was unloaded again") from None
            raise
    return f"{version} is loaded and answers rightly, after {seconds:.1f} s; the others are as they were"


def unload_version(name: str, number: int, workspace: Workspace) -> str:
    """Unload one version of a model; requests that name it are refused until it is loaded again.

    Raises UsageError for the newest: endpoints name it, and who names none would get an older one.
    """
    with turn(workspace, "unload"):
        insist_on_triton(name, workspace)
        version, _, roller = _find(name, number, workspace)
        if number == version.newest:
            raise UsageError(
                f"{version} is what its endpoints name, so it is not unloaded by itself; "
                f"'python -m serving unload {name}' unloads all of its versions"
            )
        roller.unload_version(name, number)
    return f"{version} is unloaded; 'python -m serving load {name} --version {number}' brings it back"


def reload_version(name: str, number: int, workspace: Workspace, ours: bool = False) -> str:
    """Load one version once more, from the files as they are, and ask it again; ``ours`` as in `models.reload`.

    Raises UsageError where these are not the bytes that were proven, ServerError where the engine cannot load them
    (the old goes on in both cases), ParityError where the answers are wrong.
    """
    with turn(workspace, "reload"):
        version, server, roller = _find(name, number, workspace, ours)
        version.insist_on_bytes()
        seconds = roller.renew(name, version.newest, only=number)
        version.insist_on_answers()
    unseen = f"; {ELSEWHERE.format(server.host)}" if server.place == "url" else ""
    done = f"{version} was loaded once more and answers rightly, after {seconds:.1f} s; the others are as they were"
    return f"{done}; {roller.gap}{unseen}"


def _find(name: str, number: int, workspace: Workspace, ours: bool = False) -> tuple[Version, ServerRecord, Any]:
    """One version of a served model of ours that is laid out, the server that has it, and its roller.

    Raises UsageError where it is not laid out, or Triton does not hold the model: it would get an older version alone.
    """
    endpoints, server = find(name, workspace)
    version = Version(number, endpoints, workspace)
    roller = choose(ROLLERS, server.engine, "engine")(server, workspace, ours)
    laid_out = roller.laid_out(name)
    if number not in laid_out:
        raise UsageError(
            f"{version} is not laid out for {server.engine}, which has {', '.join(map(str, laid_out))}; "
            f"models.{endpoints[0].model}.{server.engine}.versions says which are"
        )
    if server.engine == "triton" and not roller.ready(name, version.newest):
        raise UsageError(f"{name} is not loaded; 'python -m serving load {name}' loads it with all of its versions")
    return version, server, roller
