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
    """Figures of a tree that lives on while its children come and go.

    What a child used until its very end stands in its parent's figures as soon as the parent has waited for it, so
    nothing is lost between two readings. Of a child that nobody waits for, the last reading counts.
    """

    def __init__(self, root: psutil.Process) -> None:
        self.root = root
        self._members: dict[int, psutil.Process] = {root.pid: root}
        self._parent_of: Mapping[int, int] = {}
        self._own_s: dict[int, float] = {}
        self._waited_for_s: dict[int, float] = {}  # what a process's ended children used, as the kernel adds it up
        self._ended_s: dict[int, float] = {}  # the same, from what was last read of each
        self._cpu_s = 0.0

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
        # Parents come before their children: one that is still there was not in its parent's figures either.
        for pid, process in list(self._members.items()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    self._own_s[pid] = times.user + times.system
                    self._waited_for_s[pid] = times.children_user + times.children_system
                    self._ended_s.setdefault(pid, self._waited_for_s[pid])
                    threads += process.num_threads()
                    pages = process.memory_info()
                    memory += pages.rss
                    private += pages.rss - pages.shared
            except psutil.NoSuchProcess:
                self._end(pid)
        self._cpu_s = max(self._cpu_s, sum(map(self._used_s, self._own_s)))
        return {
            "pid": self.root.pid,
            "cpu_s": self._cpu_s,
            "memory_bytes": memory,
            "private_bytes": private,
            "threads": threads,
        }

    def _used_s(self, pid: int) -> float:
        return self._own_s[pid] + max(self._waited_for_s[pid], self._ended_s[pid])

    def _end(self, pid: int) -> None:
        """Hand what an ended process used to its nearest relative that is still read; the first one's stays."""
        if pid == self.root.pid or pid not in self._own_s:
            return
        used = self._used_s(pid)
        del self._own_s[pid], self._waited_for_s[pid], self._ended_s[pid]
        heir = self._parent_of.get(pid, 0)
        while heir and heir not in self._own_s:
            heir = self._parent_of.get(heir, 0)
        self._ended_s[heir or self.root.pid] += used

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
        for pid in self._members.keys() - members.keys():
            self._end(pid)
        self._members, self._parent_of = members, parent_of
