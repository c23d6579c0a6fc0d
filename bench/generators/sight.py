"""What one generator saw of its requests in a round: its percentiles, its mean, and what the mean is made of.

The two generators do not count quite the same. Ours reads its clock before the send and when the last byte has been
read; what is sent was serialised before, and nobody has looked at the answer yet. perf_analyzer reads its clock before
it serialises and after it has parsed: its latency is from tensors to tensors. Its own split does not take that apart:
over HTTP `send/recv` ends when libcurl has been handed the body, and `response wait` is what is left of the call,
serialising, sending, receiving and parsing included. Over gRPC `(un)marshal` is serialising and parsing, and the wait
has the channel's own work in it. What both have in common is what Triton counted of their requests, and what went over
the wire (bench/generators/wire.py) where somebody listened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.generators.wire import Wire
from contract.errors import ServerError
from contract.records import ServerCounters
from contract.statistics import order_statistic

SHOWN = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
Figures = dict[str, float]  # percentile -> milliseconds
Nanoseconds = NDArray[np.int64]

NAMED = {"http": ("Avg HTTP time", "send/recv"), "grpc": ("Avg gRPC time", "(un)marshal request/response")}
SERVER = ("queue", "compute input", "compute infer", "compute output")


@dataclass(frozen=True)
class Sight:
    """Percentiles in milliseconds from the actual send, and from the ``intended`` one where there is one; means in µs.

    ``wait_us`` is from the send to the first byte of the answer and ``transfer_us`` sending and receiving, as far as a
    generator tells them apart; ``server_us`` is what Triton counted, in the queue and computing, None where it counted
    nothing. ``wire`` is None where nobody listened.
    """

    percentiles: Figures
    latency_us: float
    wait_us: float
    transfer_us: float
    server_us: float | None
    intended: Figures | None = None
    wire: Wire | None = None

    @property
    def rest_us(self) -> float | None:
        """Client, wire and Triton's front end, in the mean."""
        return None if self.server_us is None else self.latency_us - self.server_us

    @property
    def sending_us(self) -> float | None:
        """From a request's first packet to its last, median."""
        return None if self.wire is None else self.wire.sending_us

    @property
    def answering_us(self) -> float | None:
        """From a request's last packet to the first of its answer, median: the server, whoever asks."""
        return None if self.wire is None else self.wire.answering_us

    @property
    def client_us(self) -> float | None:
        """p50 less both: before the first packet and after the answer's. A difference of medians."""
        return None if self.wire is None else self.percentiles["p50"] * 1e3 - self.wire.whole_us


def percentiles(samples_ns: Nanoseconds) -> Figures:
    """Milliseconds, of at least one sample."""
    ordered = np.sort(samples_ns / 1e6)
    return {name: order_statistic(ordered, p) for name, p in SHOWN.items()}


def of_records(
    intended_ns: Nanoseconds,
    sent_ns: Nanoseconds,
    first_byte_ns: Nanoseconds,
    done_ns: Nanoseconds,
    server: ServerCounters | None,
) -> Sight:
    """Ours, of the requests of one window and of what the server counted in it."""
    counted = None
    if server is not None and server.success:
        spent = (server.queue_ns, server.compute_input_ns, server.compute_infer_ns, server.compute_output_ns)
        counted = sum(part or 0 for part in spent) / server.success / 1e3
    latency, wait = done_ns - sent_ns, first_byte_ns - sent_ns
    latency_us, wait_us = float(latency.mean()) / 1e3, float(wait.mean()) / 1e3
    intended = percentiles(done_ns - intended_ns)
    return Sight(percentiles(latency), latency_us, wait_us, latency_us - wait_us, counted, intended)


def of_perf_analyzer(said: str, protocol: str) -> Sight:
    """perf_analyzer's, from what it printed of one load. Raises ServerError where it lacks a figure."""
    found = dict(re.findall(r"(p\d+) latency: (\d+) usec", said))
    whole, inside = NAMED[protocol]
    latency = re.search(r"Avg latency: (\d+) usec", said)
    split = re.search(rf"{whole}: \d+ usec \({re.escape(inside)} (\d+) usec \+ response wait (\d+) usec\)", said)
    if set(SHOWN) - found.keys() or latency is None or split is None:
        raise ServerError(f"perf_analyzer's output has no percentiles, no mean or no split: {said[-300:]}")
    server = [re.search(rf"{part} (\d+) usec", said) for part in SERVER]
    counted = sum(float(part[1]) for part in server if part) if all(server) else None
    shown = {name: int(found[name]) / 1e3 for name in SHOWN}
    return Sight(shown, float(latency[1]), float(split[2]), float(split[1]), counted)
