"""Which connection the next request takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gevent.queue import LifoQueue, Queue

# The one that was used last is used again; to take turns, it is the one that has waited longest.
ORDERS: dict[str, Callable[[], Any]] = {"connection": LifoQueue, "round-robin": Queue}


def pool(spread: str, items: Iterable[Any]) -> Any:
    """A queue of what is free: ``get`` waits for one, ``put`` gives it back."""
    free = ORDERS[spread]()
    for item in items:
        free.put(item)
    return free
