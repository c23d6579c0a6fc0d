"""The threads that answer gRPC, of which clients that never send their message cannot take the last one.

grpcio gives a call a thread as soon as its headers are there, and waits in it for the message. Some connections that
send headers and stay would so hold every thread of a pool. Here a thread that waits too long does not count, and
another comes in its place; as soon as it is free again, one of them goes. At most `MOST` can be held, which is also how
many connections REST takes.

grpcio's asyncio server waits without a thread, but took 1.3 to 2.3 times the processor time per request here.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

MOST = 1024
LOOK_SECONDS = 0.05


def change(size: int, waiting: int, held: int, present: int, most: int) -> int:
    """How many threads to add (or, below 0, to end) where ``waiting`` of ``present`` have no message yet.

    ``held`` of them have been seen waiting before. ``size`` threads should be free of these; where none is, more come
    at once, or a burst of hundreds would take as many looks as it has times ``size``.
    """
    too_many = present - (waiting + size)
    if too_many > 0:
        return -too_many
    free = max(size, held) if held >= present else size
    return max(min(held + free, most) - present, 0)


class CallThreads(Executor):
    """``size`` threads that answer, and one for each that is held up. `start` begins, `shutdown` ends them.

    What is submitted calls `message_came` when it has something to do; until then its thread is one that waits.
    """

    def __init__(self, size: int, most: int = MOST, look_seconds: float = LOOK_SECONDS) -> None:
        self._size = size
        self._most = most
        self._look_seconds = look_seconds
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._numbers = itertools.count()
        self._waiting: dict[int, int] = {}  # thread -> number of the task whose message it waits for
        self._waited: dict[int, int] = {}  # the same at the last look
        self._ended = threading.Event()
        self.present = 0  # changed by `start`, and then by the thread that looks alone

    def start(self) -> None:
        """Start the threads, and the one that looks after them."""
        self._grow(self._size)
        threading.Thread(target=self._watch, name="grpc-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` in the next thread that is free."""
        future: Future[Any] = Future()

        def task() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._tasks.put(task)
        return future

    def message_came(self) -> None:
        """Said in the thread of a call: from now on it works."""
        self._waiting.pop(threading.get_ident(), None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End each thread after what it is about; nobody is waited for, and nothing is taken back."""
        self._ended.set()

    def look(self) -> None:
        """Count the tasks that were waiting at the last look already; start or end threads accordingly."""
        waiting = dict(self._waiting)
        held = sum(self._waited.get(thread) == number for thread, number in waiting.items())
        self._waited = waiting
        count = change(self._size, len(waiting), held, self.present, self._most)
        if count < 0:
            self._shrink(-count)
        elif not self._tasks.empty():
            self._grow(count)

    def _watch(self) -> None:
        while not self._ended.wait(self._look_seconds):
            self.look()
        self._shrink(self.present)

    def _grow(self, count: int) -> None:
        self.present += count
        for _ in range(count):
            threading.Thread(target=self._work, name="grpc", daemon=True).start()

    def _shrink(self, count: int) -> None:
        self.present -= count
        for _ in range(count):
            self._tasks.put(None)

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        # a frame of its own, so that an idle thread holds nothing of the last call
        task = self._tasks.get()
        if task is None:
            return False
        me = threading.get_ident()
        self._waiting[me] = next(self._numbers)
        task()
        self._waiting.pop(me, None)
        return True
