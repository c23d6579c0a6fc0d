"""A process with all its descendants, read as one: CPU seconds, memory, threads."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping

import psutil

SAME_START_S = 0.02


def parents() -> dict[int, int]:
    """pid -> parent's pid of every process. One pass over /proc serves all trees; psutil would make one per tree."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                line = file.read()
        except OSError:
            continue  # it ended meanwhile
        # pid (name) state ppid …; the name may hold spaces and brackets
        found[int(name)] = int(line[line.rindex(b")") + 2 :].split(b" ", 2)[1])
    return found


def find(pid: int | None, started: float | None) -> psutil.Process | None:
    """The very process that had this pid at its start, or None when it is gone."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        same = started is None or abs(process.create_time() - started) < SAME_START_S
    except psutil.NoSuchProcess:
        return None
    return process if same else None


class ProcessTree:
    """Figures of a tree that lives on while its children come and go."""

    def __init__(self, root: psutil.Process) -> None:
        self.root = root
        self._members: dict[int, psutil.Process] = {root.pid: root}
        self._cpu_s: dict[psutil.Process, float] = {}

    def runs(self) -> bool:
        """Whether its first process still does."""
        try:
            return bool(self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def read(self, parent_of: Mapping[int, int]) -> dict[str, float | int]:
        """CPU (seconds since the start, of ended children too), resident bytes, threads.

        PSS would tell shared pages better and is not read: the kernel walks the page tables for it, 20 ms long here,
        and whatever the server wants to map meanwhile has to wait.
        """
        self._follow(parent_of)
        memory = private = threads = 0
        for process in list(self._members.values()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    self._cpu_s[process] = times.user + times.system
                    threads += process.num_threads()
                    pages = process.memory_info()
                    memory += pages.rss
                    private += pages.rss - pages.shared
            except psutil.NoSuchProcess:
                continue  # a child that ended since; what it used stays counted
        return {
            "pid": self.root.pid,
            "cpu_s": sum(self._cpu_s.values()),
            "memory_bytes": memory,
            "private_bytes": private,
            "threads": threads,
        }

    def _follow(self, parent_of: Mapping[int, int]) -> None:
        children = defaultdict(list)
        for pid, parent in parent_of.items():
            children[parent].append(pid)
        members, waiting = {self.root.pid: self.root}, [self.root.pid]
        while waiting:
            for pid in children[waiting.pop()]:
                try:
                    members[pid] = self._members.get(pid) or psutil.Process(pid)
                except psutil.NoSuchProcess:
                    continue
                waiting.append(pid)
        self._members = members
