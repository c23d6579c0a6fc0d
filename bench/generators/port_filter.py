"""A filter in the kernel that lets packets from or to one TCP port into a packet socket, and the first bytes of them.

All else on loopback would take room in the socket's queue, and packets that find it full are lost. The program is one
of the classic BPF: packet(7) and the kernel's Documentation/networking/filter.rst have its instructions.
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26  # Linux
# Instructions: load a byte or half a word into the accumulator, four times the low half of a byte into the index;
# jump where the accumulator is equal; return as many bytes of the packet.
BYTE, HALF_AT_INDEX, HEADER_INTO_INDEX, EQUAL, RETURN = 0x30, 0x48, 0xB1, 0x15, 0x06
PROTOCOL_AT, SOURCE_AT, TARGET_AT = 9, 0, 2  # of the IPv4 header the first, of the TCP header the others


def attach(listening: socket.socket, port: int, length: int) -> None:
    """Give the socket nothing but IPv4 packets of TCP from or to ``port``, cut to ``length`` bytes.

    Packets begin with the IPv4 header, as those of a SOCK_DGRAM socket do.
    """
    steps = [  # (instruction, steps to skip if equal, if not, operand)
        (BYTE, 0, 0, PROTOCOL_AT),
        (EQUAL, 0, 6, socket.IPPROTO_TCP),
        (HEADER_INTO_INDEX, 0, 0, 0),
        (HALF_AT_INDEX, 0, 0, SOURCE_AT),
        (EQUAL, 2, 0, port),
        (HALF_AT_INDEX, 0, 0, TARGET_AT),
        (EQUAL, 0, 1, port),
        (RETURN, 0, 0, length),
        (RETURN, 0, 0, 0),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    described = struct.pack("HP", len(steps), ctypes.addressof(program))
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
