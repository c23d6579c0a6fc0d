"""Tell what happened to servers: at once to whoever listens, and into live/events.jsonl as soon as it can be written.

A disk that is full is no reason to look away: what cannot be written is kept and written later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from contract.events import Event, append_event


class Diary:
    """Events of one workspace; ``say`` hears each of them, and why one could not be written yet."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file = file
        self._say = say
        self._unwritten: deque[Event] = deque()

    def note(self, event: Event) -> None:
        """Tell an event."""
        self._unwritten.append(event)
        self._say(f"{event.at} {event.what}: {event.detail}")
        if event.last_lines:
            self._say(event.last_lines)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what is not written yet, oldest first."""
        try:
            while self._unwritten:
                append_event(self._file, self._unwritten[0])
                self._unwritten.popleft()
        except OSError as error:
            self._say(f"{self._file} cannot be written now: {error}")

    @property
    def complete(self) -> bool:
        """Whether everything is written."""
        return not self._unwritten
