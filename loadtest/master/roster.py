"""The load processes of a run as its master sees them: how many there should be, which there are, which take orders.

One that was lost, or that joined and never became ready, is missed in every stage from then on: what the others send is
not the load that was asked for, nor what the load generator was certified for.
"""

from __future__ import annotations

from typing import Any


class Roster:
    """``runner`` is Locust's, ``expected`` how many load processes it was told to have; more may join."""

    def __init__(self, runner: Any, expected: int) -> None:
        self._runner = runner
        self._clients = getattr(runner, "clients", None)  # none where one process is master and load process
        self._most = 1 if self._clients is None else expected  # that were there at once, or should have been
        self._ready: list[str] = []
        self._given_up: set[str] = set()  # joined, not ready in time: waited for once

    def enter(self, name: str) -> None:
        """It is ready: it can take orders."""
        self._ready.append(name)

    def present(self) -> int:
        """How many are there, able or not."""
        return len(self._present())

    def able(self) -> list[str]:
        """Those that are there and can take orders, in the order in which they came."""
        present = self._present()
        return [name for name in self._ready if name in present]

    def missing(self) -> int:
        """How many of those that should take orders cannot."""
        return max(0, self._most - len(self.able()))

    def incomplete(self) -> bool:
        """Whether somebody is there who cannot take orders yet and is worth waiting for, or nobody at all is there."""
        present = self._present()
        self._most = max(self._most, len(present))
        return not present or bool(present - set(self._ready) - self._given_up)

    def give_up(self) -> set[str]:
        """Wait no longer for those that are not ready by now, and say which; ready later, they are welcome."""
        late = self._present() - set(self._ready) - self._given_up
        self._given_up |= late
        return late

    def _present(self) -> set[str]:
        if self._clients is None:
            return {self._runner.client_id}
        return {client.id for client in self._clients.ready + self._clients.spawning + self._clients.running}
