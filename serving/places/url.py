"""A server that somebody else runs: it is asked, watched and left alone."""

from __future__ import annotations

from contract.endpoints import ServerRecord
from serving.places.launch import Launch
from serving.places.ports import answers

TELLING = ("metrics", "usage")


def start(launch: Launch) -> ServerRecord:
    """Nothing is started; the record says where the server is."""
    return ServerRecord(
        engine=launch.engine,
        engine_kind=launch.engine_kind,
        engine_version="unknown",
        place="url",
        host=launch.host,
        pid=None,
        pid_started=None,
        container=None,
        command=[],
        ports=launch.ports,
        log="kept where the server runs",
        shm_prefix=None,
    )


def alive(server: ServerRecord) -> bool:
    """Whether its ports answer; it serves without those that only tell of it."""
    return all(answers(server.host, port) for purpose, port in server.ports.items() if purpose not in TELLING)


def lost_a_port(server: ServerRecord) -> bool:
    """Never: what listens there is what is asked."""
    return False


def stop(server: ServerRecord) -> None:
    """It is not ours to stop."""


def last_lines(server: ServerRecord) -> str:
    """We cannot read its log."""
    return f"  | (the log of {server.host} is {server.log})"
