"""What servers of this machine have used so far: processor time and resident memory, each with its children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.endpoints import ServerRecord
from loadtest.watching.process_tree import ProcessTree, find, parents

MIB = 2**20


@dataclass(frozen=True)
class Used:
    """Of one server: processor seconds since its start, those of ended children that were seen included; MiB now."""

    cpu_s: float
    mib: float


class Consumption:
    """Reads the same servers again and again."""

    def __init__(self) -> None:
        self._trees: dict[tuple[int | None, float | None], ProcessTree] = {}

    def read(self, servers: Sequence[ServerRecord]) -> tuple[Used, ...]:
        """What each has used; empty where one of them is gone."""
        parent_of = parents()
        trees = [self._tree(server) for server in servers]
        if any(tree is None for tree in trees):
            return ()
        rows = [tree.read(parent_of) for tree in trees if tree is not None]
        return tuple(Used(float(row["cpu_s"]), row["memory_bytes"] / MIB) for row in rows)

    def _tree(self, server: ServerRecord) -> ProcessTree | None:
        who = server.pid, server.pid_started
        if who not in self._trees:
            process = find(*who)
            if process is None:
                return None
            self._trees[who] = ProcessTree(process)
        return self._trees[who] if self._trees[who].runs() else None
