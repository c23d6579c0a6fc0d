"""What a running TF Serving was told at its start: one setting for all its models, whatever models.toml says of each.

Read from its command and the file that this names, for that is what the server read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contract.endpoints import Configuration, ServerRecord
from serving.layout.tfserving_config import BATCHES, PARAMETERS, THREADS, UNLIMITED, read_batching


@dataclass(frozen=True)
class Told:
    """The settings of one server; ``batching`` are BatchingParameters by name, None where requests run as they came."""

    threads: int
    batching: dict[str, int] | None

    @property
    def most_waiting_batches(self) -> int:
        """0: no limit."""
        limit = self.batching["max_enqueued_batches"] if self.batching else UNLIMITED
        return 0 if limit == UNLIMITED else limit

    def configuration(self) -> Configuration:
        """As a report names it."""
        found = self.batching or {}
        return Configuration(
            max_batch_size=found.get("max_batch_size"),
            max_queue_delay_us=found.get("batch_timeout_micros"),
            instances=1,
            threads=self.threads,
            ragged=False,
            length_buckets=[],
            preferred_batch_sizes=[],
            queue_max_size=self.most_waiting_batches * found.get("max_batch_size", 0),
            queue_timeout_us=0,
            batch_threads=found.get("num_batch_threads"),
            inter_op_threads=0,  # TF Serving has a flag for it, which nothing here sets
        )


# Of a server that is not ours.
NOT_TOLD = Configuration(max_batch_size=None, max_queue_delay_us=None, instances=None, threads=None)


def told(server: ServerRecord) -> Told | None:
    """What the server was told; None where it was not ours to start, so that nobody knows."""
    threads = _value(server, THREADS)
    if threads is None:
        return None
    file = _value(server, PARAMETERS)
    if BATCHES not in server.command or file is None:
        return Told(int(threads), None)
    return Told(int(threads), read_batching(Path(file).read_text(encoding="utf-8")))


def _value(server: ServerRecord, flag: str) -> str | None:
    return next((word.removeprefix(flag) for word in server.command if word.startswith(flag)), None)
