"""Progress that a person can watch: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Sequence[T], title: str, label: str = "step") -> Iterator[T]:
    """Yield items under a progress bar on stderr; without a terminal, one line per item."""
    if sys.stderr.isatty():
        with tqdm(items, desc=title, unit=label, file=sys.stderr, dynamic_ncols=True) as bar:
            for item in bar:
                bar.set_postfix_str(str(item)[:60])
                yield item
        return
    for number, item in enumerate(items, 1):
        say(f"{title} [{number}/{len(items)}] {item}")
        yield item


def say(text: str) -> None:
    """Print one line on stderr without breaking a bar that is being drawn."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


class Steps:
    """Steps that end in any order, from any thread: a bar on a terminal, else one line per step that has ended."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._lock = threading.Lock()
        self._done = 0
        self._bar: tqdm[object] | None = None

    def __enter__(self) -> Steps:
        if sys.stderr.isatty() and self._total:
            self._bar = tqdm(total=self._total, desc=self._title, unit="step", file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def ended(self, what: str) -> None:
        """Say that one step has ended."""
        with self._lock:
            self._done += 1
            if self._bar is not None:
                self._bar.set_postfix_str(what[:60], refresh=False)
                self._bar.update()
            else:
                say(f"{self._title} [{self._done}/{self._total}] {what}")


class Bar:
    """A bar over seconds on a terminal; without one, only the notes are printed."""

    def __init__(self, title: str, total_s: float) -> None:
        self._bar: tqdm[object] | None = None
        self._title, self._total = title, total_s
        self._done = 0.0

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
            self._bar = tqdm(
                total=self._total, desc=self._title, file=sys.stderr, dynamic_ncols=True, bar_format=layout
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def note(self, text: str) -> None:
        """Say what is going on."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            say(f"{self._title} {text}")

    def advance(self, seconds: float) -> None:
        """Move the bar; it never moves back."""
        step = max(0.0, min(seconds, self._total - self._done))
        self._done += step
        if self._bar is not None:
            self._bar.update(step)

    def move_to(self, seconds: float) -> None:
        """Move the bar on to there."""
        self.advance(seconds - self._done)
