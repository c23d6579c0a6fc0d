"""What one generator's HTTP requests took on the loopback wire, by the kernel's own clock, whoever sent them.

Generators count different things as latency; what went over the wire they have in common. The kernel stamps each packet
when it arrives, so that who reads them here need not be in time: packets are fetched in bunches, by a thread that is
nice, and take little from whom is measured. What goes to other ports the kernel leaves out. Only root may listen.
"""

from __future__ import annotations

import os
import socket
import statistics
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from bench.generators.port_filter import attach
from contract.errors import ServerError, UsageError

INFERENCE = b"POST /v2/models/"  # how a request begins; control and statistics are asked otherwise
HEAD = 128  # bytes of a packet that are looked at: both headers with options, and how a request begins
BUFFER = 32 << 20  # bytes of packets that may wait in the kernel
EVERY_S = 0.05
NICENESS = 15
ETH_P_IP, SO_TIMESTAMPNS, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 0x0800, 35, 33, 263, 6  # Linux


@dataclass(frozen=True)
class Packet:
    """TCP payload that arrived at ``at_ns`` (the machine's real-time clock)."""

    at_ns: int
    source: int  # port
    target: int
    begins: bytes


@dataclass(frozen=True)
class Wire:
    """Medians of so many requests, those of a warm-up and of repeated attempts among them."""

    requests: int
    pieces: float  # packets that a request came in
    sending_us: float  # microseconds from a request's first packet to its last
    answering_us: float  # and from a request's last packet to the first of its answer

    @property
    def whole_us(self) -> float:
        return self.sending_us + self.answering_us


def packet(at_ns: int, data: bytes) -> Packet | None:
    """An IPv4 packet from its first bytes; None for one that is no TCP or has no payload."""
    if len(data) < 20 or data[0] >> 4 != 4 or data[9] != socket.IPPROTO_TCP:
        return None
    tcp = (data[0] & 15) * 4
    if len(data) < tcp + 20:
        return None
    payload = tcp + (data[tcp + 12] >> 4) * 4
    (length,) = struct.unpack_from("!H", data, 2)
    if length <= payload:
        return None
    source, target = struct.unpack_from("!HH", data, tcp)
    return Packet(at_ns, source, target, data[payload : payload + len(INFERENCE)])


def exchanges(packets: Iterable[Packet], port: int) -> Iterator[tuple[int, int, int]]:
    """(packets of the request, nanoseconds from its first to its last, from there to the answer) of each inference.

    A connection carries one at a time. ``port`` is the server's.
    """
    asked: dict[int, tuple[int, int, int]] = {}  # client's port -> packets, first and last of the request
    for item in packets:
        if item.target == port:
            count, first, last = asked.get(item.source, (0, 0, 0))
            if item.begins == INFERENCE:
                asked[item.source] = 1, item.at_ns, item.at_ns
            elif count:
                asked[item.source] = count + 1, first, item.at_ns
        elif item.source == port and item.target in asked:
            count, first, last = asked.pop(item.target)
            yield count, last - first, item.at_ns - last


def summed_up(found: Iterable[tuple[int, int, int]]) -> Wire:
    """Medians. Raises ServerError where no request was seen."""
    rows = list(found)
    if not rows:
        raise ServerError("no request was seen on the loopback wire; is the server on this machine, and on IPv4?")
    pieces, sending, answering = (statistics.median(column) for column in zip(*rows, strict=True))
    return Wire(len(rows), pieces, sending / 1e3, answering / 1e3)


def opened() -> socket.socket:
    """A socket for packets of this machine; until it is bound it hears none.

    Raises UsageError where this user may not listen.
    """
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except PermissionError:
        raise UsageError("only root may listen on the wire; be root, or leave --wire out") from None


class Tap:
    """``with Tap(port) as tap: …``, then ``tap.wire()``: the requests to that port of this machine in the block.

    Raises UsageError where this user may not listen; at the end of the block ServerError where packets were lost, and
    what went wrong in the thread that fetched them.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._packets: list[Packet] = []
        self._failure: Exception | None = None  # of the thread
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    def __enter__(self) -> Tap:
        self._socket = opened()
        try:
            with suppress(PermissionError):  # in a container root may listen, but not with more room than others
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            attach(self._socket, self._port, HEAD)
            # Bound to one protocol it is given what arrives and not what leaves, which on loopback is the same again.
            self._socket.bind(("lo", ETH_P_IP))
            self._thread.start()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        lost = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self._socket.close()
        if error is not None:
            return
        if self._failure is not None:
            raise self._failure
        if lost:
            raise ServerError(f"{lost} packets went by unseen, so the wire tells nothing; give a lower --rate")

    def wire(self) -> Wire:
        """Of the block that is over."""
        return summed_up(exchanges(self._packets, self._port))

    def _run(self) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            while not self._ended.wait(EVERY_S):
                self._fetch()
            self._fetch()
        except Exception as error:  # raised where the block ends
            self._failure = error

    def _fetch(self) -> None:
        while True:
            try:
                data, notes, _, _ = self._socket.recvmsg(HEAD, socket.CMSG_SPACE(16))
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            item = packet(seconds * 1_000_000_000 + nanoseconds, data)
            if item is not None:
                self._packets.append(item)
