"""How many TCP connections are open, asked of the kernel (sock_diag(7)): for all ports in one question.

/proc/net/tcp has the same, but also every connection that was closed in the last minute: 7 ms for a busy machine, again
and again, which one request in a few hundred would have to wait for.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator

NETLINK_SOCK_DIAG = 4
BY_FAMILY, DONE, ERROR = 20, 3, 2  # types of messages
REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states; any socket
LOCAL_PORT = struct.Struct("!H")
PORT_AT = HEADER.size + 4  # inet_diag_msg: after family, state, timer and retransmits
ESTABLISHED = 1 << 1  # states are bits
CHUNK = 1 << 16


def established() -> Counter[int] | None:
    """Established connections of this machine by the port of their local end; None where the kernel does not tell."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    found: Counter[int] = Counter()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            for family in (socket.AF_INET, socket.AF_INET6):
                found.update(_ports(kernel, family))
    except OSError:  # a kernel, or a sandbox, without it
        return None
    return found


def _ports(kernel: socket.socket, family: int) -> Iterator[int]:
    """The local port of every established connection of a family. Raises OSError where the kernel refuses."""
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, ESTABLISHED)
    kernel.send(HEADER.pack(HEADER.size + len(body), BY_FAMILY, REQUEST_DUMP, 0, 0) + body)
    while True:
        data = kernel.recv(CHUNK)
        at = 0
        while at < len(data):
            length, kind, *_ = HEADER.unpack_from(data, at)
            if kind == ERROR:
                raise OSError(f"the kernel does not tell its connections of family {family}")
            if kind == DONE:
                return
            yield LOCAL_PORT.unpack_from(data, at + PORT_AT)[0]
            at += (length + 3) & ~3
