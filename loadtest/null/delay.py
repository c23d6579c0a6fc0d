"""What the null servers have in common: one prepared answer, how long it is held, and when that really happened.

A timer is late, by a millisecond in an event loop: so the delay that a client is judged by is not the one that was
asked for but the one that the server measured, request by request.
"""

from __future__ import annotations

import argparse
import ssl
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.cli import Parser
from contract.errors import UsageError
from contract.files import write_bytes
from contract.records import read_answers
from loadtest.null.tls import server_context

MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Hold:
    """How long an answer is held: a delay, then the rest of the stall that it ends in. Nanoseconds, CLOCK_MONOTONIC.

    A stall is the last ``stall`` of every ``every``, counted from ``epoch``. Whoever arrived earlier is never due
    later, so a queue is all that a server needs to hold its answers.
    """

    delay: int = 0
    stall: int = 0
    every: int = MILLISECOND
    epoch: int = 0

    def due(self, arrived: int) -> int:
        """When the answer to a request that arrived then is to be sent."""
        ready = arrived + self.delay
        left = self.every - (ready - self.epoch) % self.every
        return ready + left if left <= self.stall else ready

    def __bool__(self) -> bool:
        """Whether any answer is held at all."""
        return bool(self.delay or self.stall)


class Seen:
    """When each request had arrived and when its answer began to be sent, in the order of the answers."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._times = array("q")

    def answered(self, arrived: int) -> None:
        """Note one request, just before its answer is sent, so that sending is not taken for a part of the delay."""
        if self._file is not None:
            self._times.extend((arrived, time.monotonic_ns()))

    def write(self) -> None:
        """Write what was seen, if anybody wants it."""
        if self._file is not None:
            write_bytes(self._file, self._times.tobytes())


def read_seen(file: Path) -> NDArray[np.int64]:
    """[n, 2]: (arrived, answered) in nanoseconds of CLOCK_MONOTONIC, by arrival. Raises UsageError."""
    try:
        times = np.fromfile(file, np.int64).reshape(-1, 2)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} does not hold what a null server has seen: {error}; measure again") from None
    return times[np.argsort(times[:, 0], kind="stable")]


@dataclass(frozen=True)
class NullOptions:
    """What a null server was told."""

    port: int
    headers: dict[str, str]
    body: bytes
    hold: Hold
    seen: Path | None
    tls: ssl.SSLContext | None = None


def parse(program: str, description: str, arguments: list[str]) -> NullOptions:
    """The command line of a null server. Raises UsageError for an answer or a stall that cannot be."""
    parser = Parser(prog=f"python -m {program}", description=description)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: a free one, which is printed")
    parser.add_argument(
        "--answer", type=Path, required=True, help="file of sampled answers, as in results/<id>/; the first is given"
    )
    parser.add_argument("--delay-ms", type=float, default=0.0, help="hold every answer for so long")
    parser.add_argument("--stall-ms", type=float, default=0.0, help="hold what is due in a stall until its end")
    parser.add_argument("--every-ms", type=float, default=1000.0, help="from the end of a stall to the end of the next")
    parser.add_argument(
        "--seen", type=Path, help="file for when requests arrived and were answered, written at SIGTERM"
    )
    parser.add_argument("--certificate", type=Path, help="speak TLS and show this, PEM; --key is its key")
    parser.add_argument("--key", type=Path, help="PEM, not encrypted")
    options = parser.parse_args(arguments)
    _, _, headers, body = _first_answer(options.answer)
    return NullOptions(options.port, headers, body, _hold(options), options.seen, _tls(options))


def _hold(options: argparse.Namespace) -> Hold:
    if options.delay_ms < 0 or not 0 <= options.stall_ms < options.every_ms:
        raise UsageError(
            f"a delay of {options.delay_ms:g} ms with a stall of {options.stall_ms:g} ms every {options.every_ms:g} ms "
            "cannot be held; --delay-ms and --stall-ms are at least 0, and a stall is shorter than --every-ms"
        )
    delay, stall, every = (
        round(value * MILLISECOND) for value in (options.delay_ms, options.stall_ms, options.every_ms)
    )
    return Hold(delay, stall, every, time.monotonic_ns())


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if (options.certificate is None) != (options.key is None):
        raise UsageError("--certificate and --key belong together; give both, or neither for no TLS")
    return server_context(options.certificate, options.key) if options.certificate is not None else None


def _first_answer(file: Path) -> tuple[int, str, dict[str, str], bytes]:
    try:
        return next(read_answers(file))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; --answer wants a file of sampled answers") from None
    except StopIteration:
        raise UsageError(f"{file} holds no answer; --answer wants a file of sampled answers") from None
