"""Doing something again and again in a thread of its own: looking at the disk, re-reading a file.

A look that fails is said and the next one comes all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Poller:
    """Calls ``look`` every ``seconds`` after `start`, until `stop`; ``say`` hears what went wrong."""

    def __init__(self, name: str, seconds: float, look: Callable[[], None], say: Callable[[str], None]) -> None:
        self._name = name
        self._seconds = seconds
        self._look = look
        self._say = say
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """No further look begins; one that is under way (a load may take minutes) is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._look()
            except Exception as error:  # the next look may find the disk in a better state
                self._say(f"{self._name}: {type(error).__name__}: {error}")


class News:
    """Says a text when it becomes true, and not at every look at which it still is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: frozenset[str] = frozenset()

    def hear(self, texts: Iterable[str]) -> None:
        """``texts`` are all that is true now."""
        texts = tuple(texts)
        for text in texts:
            if text not in self._known:
                self._say(text)
        self._known = frozenset(texts)
