"""Ports on loopback: the usual one where it is free, another one, said aloud, where it is not."""

from __future__ import annotations

import socket

from contract.progress import say

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_ports(usual: dict[str, int], engine: str) -> dict[str, int]:
    """One port per purpose. All are held until all are chosen, so that no two are the same."""
    chosen: dict[str, int] = {}
    held: list[socket.socket] = []
    try:
        for purpose, port in usual.items():
            probe = socket.socket()
            held.append(probe)
            if port and is_free(port):
                chosen[purpose] = port
                continue
            probe.bind((LOOPBACK, 0))
            chosen[purpose] = int(probe.getsockname()[1])
            if port:
                say(f"{engine}: port {port} ({purpose}) is in use; using {chosen[purpose]} instead")
    finally:
        for probe in held:
            probe.close()
    return chosen


def host_port(host: str, port: int) -> str:
    """An address as people, URLs and gRPC write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def answers(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True
