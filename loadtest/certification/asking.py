"""python -m loadtest.certification.asking: one golden request to one endpoint, its answer kept as a sampled one.

What a null server answers has to be what the endpoint answers, to the byte. A process of its own, because the clients
bring gevent with them, which the process that starts and stops others can do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.children import python, run_child
from contract.cli import Parser, run
from contract.client import Client
from contract.endpoints import Endpoint, Endpoints, PayloadEntry, PayloadIndex
from contract.errors import ServerError, UsageError
from contract.files import read_model, write_bytes
from contract.records import answer_frame

LIMIT_S = 60.0


@dataclass(frozen=True)
class Sent:
    """What the load test sends to an endpoint: where to, one request of middling size, the mean size in bytes."""

    target: str
    request: PayloadEntry
    body: Path
    mean_bytes: float


def what_is_sent(folder: Path) -> Sent:
    """The serialised requests of one inference each (of any number, where there are none of one). Raises UsageError."""
    index = read_model(folder / "index.json", PayloadIndex, "make serve")
    entries = [entry for entry in index.payloads if entry.rows == 1] or index.payloads
    if not entries:
        raise UsageError(f"{folder} holds no requests; run 'make serve' again")
    sizes = {entry.key: (folder / entry.file).stat().st_size for entry in entries}
    middle = sorted(entries, key=lambda entry: sizes[entry.key])[len(entries) // 2]
    return Sent(index.target, middle, folder / middle.file, sum(sizes.values()) / len(sizes))


def ask(endpoint: Endpoint, live: Path, client: Client, file: Path) -> None:
    """Let a child ask the endpoint and write ``file``. Raises ServerError with the child's words when it cannot."""
    command = python("loadtest.certification.asking", "--live", str(live), "--endpoint", endpoint.id, "--to", str(file))
    command += ["--client", client.model_dump_json()]  # it names its secrets and holds none
    ended = run_child(command, echo=False, limit_s=LIMIT_S, environment={"GRPC_VERBOSITY": "ERROR"})
    if ended.interrupted:
        raise KeyboardInterrupt
    if ended.code != 0:
        raise ServerError(f"{endpoint.id} cannot be certified for: {ended.reason}")


def main(arguments: Sequence[str]) -> int:
    from loadtest.clients import connect  # only the child needs it

    parser = Parser(prog="python -m loadtest.certification.asking", description="Ask an endpoint one golden request.")
    parser.add_argument("--live", type=Path, required=True, help="folder with endpoints.json and the requests")
    parser.add_argument("--endpoint", required=True, help="id of the endpoint")
    parser.add_argument("--client", default="{}", help="[client] of models.toml, as JSON")
    parser.add_argument("--to", type=Path, required=True, help="file for the answer")
    options = parser.parse_args(arguments)
    known = {item.id: item for item in read_model(options.live / "endpoints.json", Endpoints, "make serve").endpoints}
    if options.endpoint not in known:
        raise UsageError(f"no endpoint '{options.endpoint}' is up; up are: {', '.join(known)}")
    endpoint = known[options.endpoint]
    sent = what_is_sent(options.live / endpoint.payloads)
    client = Client.model_validate_json(options.client)
    connection = connect(endpoint.protocol, endpoint.address, sent.target, 1, client)
    reply = connection(sent.body.read_bytes(), sent.request.headers)
    connection.close()
    if reply.error:
        raise ServerError(f"it did not answer {sent.request.key} ({reply.error}); see 'make status'")
    write_bytes(options.to, answer_frame(0, sent.request.key, reply.headers, reply.body))
    return 0


if __name__ == "__main__":
    run(main)
