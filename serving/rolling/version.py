"""One version of a served model: whether its files are what was proven, and whether its answers are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.compare import Parity, compare
from contract.endpoints import Endpoint
from contract.errors import ParityError, UsageError
from contract.files import read_model, sha256_tree
from contract.golden import Example, read_examples
from contract.manifest import GOLDEN, MANIFEST, FormatRecord, Manifest
from contract.payloads import serialise
from contract.workspace import Workspace
from serving.layout.triton_config import BACKENDS
from serving.proof.probe import TRANSPORTS, ask
from serving.proof.rechecking import FEW, recheck


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
        """Raise UsageError where what the engine would load is not what was proven: the old would be gone by then."""
        file = self._file
        if not file.exists() or sha256_tree(file) != self._sha256:
            raise UsageError(
                f"{file} is not the export that was proven, so it is not loaded and what is loaded goes on; "
                "a newer export comes with 'make roll', and 'make stop', then 'make serve' lays this one out again"
            )

    def insist_on_answers(self) -> None:
        """Ask it a few of its golden requests over every protocol.

        Raises ParityError where an answer is wrong, ServerError where there is none.
        """
        for endpoint in self.endpoints:
            parity = recheck(endpoint, self.workspace) if self.number == self.newest else self._ask(endpoint)
            if not parity.passed:
                raise ParityError(f"{self} answers wrongly over {endpoint.protocol}: {'; '.join(parity.reasons)}")

    def _ask(self, endpoint: Endpoint) -> Parity:
        """As `recheck` does, with requests that name this version."""
        engine, outputs = endpoint.engine, endpoint.outputs
        examples = self._examples()
        golden = {example.key: example.outputs for example in examples}
        with TemporaryDirectory() as folder:
            index = serialise(engine, endpoint.protocol, self.name, self.number, outputs, examples, Path(folder))
            send = TRANSPORTS[endpoint.protocol](endpoint.address, index.target)
            pairs = [
                (entry.key, golden[entry.key], ask(send, engine, self.name, outputs, index, entry, Path(folder)))
                for entry in index.payloads
            ]
        return compare(pairs, self._record().tolerance)

    def _examples(self) -> list[Example]:
        return [item for item in read_examples(self._export / GOLDEN) if item.rows == 1][:FEW]

    def _record(self) -> FormatRecord:
        return read_model(self._export / MANIFEST, Manifest, "make export").formats[self.endpoints[0].format]

    @property
    def _sha256(self) -> str | None:
        return self.endpoints[0].artifact_sha256 if self.number == self.newest else self._record().sha256

    @property
    def _export(self) -> Path:
        return self.workspace.artifacts / self.endpoints[0].model / str(self.number)

    @property
    def _file(self) -> Path:
        """What the engine loads."""
        if self.endpoints[0].engine == "tfserving":
            return self.workspace.tfserving_repository / self.name / str(self.number)
        folder = self.workspace.triton_repository / self.name / str(self.number)
        return folder / BACKENDS[self.endpoints[0].format].filename
