"""The HTTP/2 connections of this process: who calls over which one."""

from __future__ import annotations

from collections import defaultdict

from gevent.lock import BoundedSemaphore

from contract.client import Client
from loadtest.clients.http2 import UNTOUCHED, Http2
from loadtest.clients.remote import Remote, next_turn
from loadtest.clients.reply import Reply, error_class, failure


class Channel:
    """One HTTP/2 connection after the other, each opened when the one before takes no more calls.

    ``users`` may call at a time; ``among`` are the channels that new users are looked for a place in.
    """

    def __init__(self, remote: Remote, among: list[Channel], users: int = 0) -> None:
        self.users = users
        self._among = among
        self._remote, self._turn = remote, next_turn()
        among.append(self)
        self._live: Http2 | None = None
        self._opening = BoundedSemaphore()

    def ask(self, block: bytes, prepared: bytes, deadline_ns: int) -> Reply:
        """Make a call and wait. One that the server says it has not touched is made again, once."""
        reply, lost = self._call(block, prepared, deadline_ns)
        if reply is UNTOUCHED:
            reply, lost = self._call(block, prepared, deadline_ns)[0], True
        return reply._replace(reopened=1) if lost else reply

    def leave(self) -> None:
        """One user less; with the last one the connection is closed, and who still waits is told."""
        self.users -= 1
        if self.users == 0:
            self._among.remove(self)
            if self._live is not None:
                self._live.close()
                self._live = None

    def _call(self, block: bytes, prepared: bytes, deadline_ns: int) -> tuple[Reply, bool]:
        """The reply, and whether a connection that the server had left was replaced for it."""
        lost = False
        live = self._live
        if live is None or not live.usable:
            with self._opening:
                live = self._live
                if live is None or not live.usable:
                    lost = live is not None and live.left
                    self._live = None
                    try:
                        live = self._live = Http2(self._remote.open(self._turn))
                    except (OSError, UnicodeError) as error:
                        return failure(error_class(error)), False
        return live.call(block, prepared, deadline_ns), lost


# By address and configuration. Users of a closed loop know nothing of each other and share connections all the same.
_shared: defaultdict[tuple[str, str], list[Channel]] = defaultdict(list)


def share(remote: Remote, client: Client, users: int) -> list[Channel]:
    """A place for so many users in the channels of this process, at most ``calls_per_channel`` in each."""
    among = _shared[remote.address, client.model_dump_json()]
    places = []
    for _ in range(users):
        roomy = (channel for channel in among if channel.users < client.calls_per_channel)
        channel = next(roomy, None) or Channel(remote, among)
        channel.users += 1
        places.append(channel)
    return places


def take_turns(remote: Remote, client: Client, users: int) -> list[Channel]:
    """A place for so many users in channels of their own, of which each replica has one at least."""
    replicas = remote.count()
    count = max(-(-users // client.calls_per_channel), replicas)
    places = max(users, count)
    among: list[Channel] = []
    for number in range(count):
        Channel(remote, among, users=len(range(number, places, count)))
    return [among[number % count] for number in range(places)]
