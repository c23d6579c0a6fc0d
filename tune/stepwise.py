"""What a person sees of measurements that know their next step only then: a table of them all, and below it the load
test's own table of the window that is on. On a terminal only; elsewhere the lines that are said are all there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import RenderableType
from rich.table import Table

from loadtest.showing.live import Live
from loadtest.showing.view import View, Watching

HERE, ABSENT = "▶", "-"


class Stepwise:
    """``with Stepwise(title, seconds, table) as view: ...``; all steps are expected to take so many ``seconds``.

    It is an onlooker of a `loadtest.session.Session`. Tables are drawn by another thread, so they are put in whole.
    """

    def __init__(self, title: str, total_s: float, table: RenderableType) -> None:
        self._table = table
        self._done_s = 0.0
        self._began, self._most_s = time.monotonic(), 0.0
        self._watching = Watching(title, total_s, beside=self._beside)

    def __enter__(self) -> Self:
        self._view: View = self._watching.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.__exit__(kind, error, trace)

    @property
    def wants_figures(self) -> bool:
        """Whether there is a terminal that shows them."""
        return self._view.wants_figures

    def show(self, live: Live) -> None:
        """How the window goes that is on."""
        self._view.move_to(self._done_s + min(self._most_s, time.monotonic() - self._began))
        self._view.show(live)

    def begin(self, table: RenderableType, most_s: float = math.inf) -> None:
        """A step begins; the bar goes on while it lasts, but not for more than ``most_s`` seconds."""
        self._table = table
        self._began, self._most_s = time.monotonic(), most_s

    def end(self, table: RenderableType, done_s: float) -> None:
        """It is over; ``done_s`` of the seconds that all were expected to take are done."""
        self._table, self._done_s, self._most_s = table, done_s, 0.0
        self._view.move_to(done_s)

    def _beside(self) -> Sequence[RenderableType]:
        return [self._table]


def table(heads: Sequence[str], left: Sequence[str], rows: Sequence[Sequence[str]], on: int | None) -> Table:
    """Rows of text below ``heads``; columns that are named in ``left`` hold words, the others figures.

    Row ``on`` is the one that is being measured: it says so with a mark before it, and not in its style alone.
    """
    drawn = Table(expand=False)
    for head in ("", *heads):
        drawn.add_column(head, justify="left" if head in ("", *left) else "right")
    for number, row in enumerate(rows):
        here = number == on
        drawn.add_row(HERE if here else "", *row, style="bold" if here else "")
    return drawn
