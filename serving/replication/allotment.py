"""Which cores replicas, their proxy and the load generator get: each its own where the machine has enough. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from contract.load import Affinity


@dataclass(frozen=True)
class Allotment:
    """Core numbers by who gets them; no cores: no restriction. ``shared`` says who shares what; empty: nobody does."""

    replicas: list[list[int]]
    proxy: list[int]
    shared: str = ""


def allot(affinity: Affinity, most: int, proxy_threads: int, machine_cores: int) -> Allotment:
    """Cores for ``most`` replicas and a proxy, out of [affinity].servers.

    The proxy gets a core per thread, and every replica as many as every other, however many of them run: a curve over
    replicas compares equal ones. What cannot be divided so is not used.
    """
    servers = sorted(affinity.servers)
    if not servers or not affinity.load:
        everybody = f"load generator, proxy and replicas share this machine's {machine_cores} cores"
        return Allotment([servers] * most, servers, everybody)
    own = (len(servers) - proxy_threads) // most
    if own < 1:
        threads = f"{proxy_threads} thread{'s' if proxy_threads > 1 else ''}"
        shared = f"proxy and replicas share the cores {', '.join(map(str, servers))}: {most} replicas and a proxy of "
        return Allotment([servers] * most, servers, f"{shared}{threads} need {most + proxy_threads}")
    proxy, rest = servers[:proxy_threads], servers[proxy_threads:]
    return Allotment([rest[own * number : own * (number + 1)] for number in range(most)], proxy)
