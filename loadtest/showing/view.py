"""What a person sees while a run goes on: on a terminal a table that renews itself, in a log one line per variant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.progress import Bar
from loadtest.showing.live import Live, validity

RENEWALS_PER_S = 1.0  # the screen is drawn on a core that server and load generator may want
Beside = Callable[[], Sequence[RenderableType]]
SHOWN = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}


class Onlooker(Protocol):
    """Who is shown how the stage goes that is on. ``wants_figures``: whether there is any use for them."""

    @property
    def wants_figures(self) -> bool: ...

    def show(self, live: Live) -> None:
        """How the stage goes that is on."""


class View(Onlooker, Protocol):
    """Where a run tells how it goes."""

    def note(self, text: str) -> None:
        """Say what is going on."""

    def move_to(self, seconds: float) -> None:
        """So much of the run is over."""


class Lines:
    """For a log: a line per variant, or a bare bar."""

    wants_figures = False

    def __init__(self, bar: Bar) -> None:
        self.note, self.move_to = bar.note, bar.move_to

    def show(self, live: Live) -> None:
        """Nothing: the report has it."""


class Watching:
    """``with Watching(title, seconds) as view: ...``: a table on a terminal, lines elsewhere.

    ``beside`` is what else is to be seen on a terminal, above the stage that is on; it is asked by another thread.
    """

    def __init__(self, title: str, total_s: float, beside: Beside = lambda: ()) -> None:
        self._inner: Board | Bar = Board(title, total_s, beside=beside) if sys.stderr.isatty() else Bar(title, total_s)

    def __enter__(self) -> View:
        entered = self._inner.__enter__()
        return Lines(entered) if isinstance(entered, Bar) else entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)


class Board:
    """The table: the bar of the run, what is on, its rate, percentiles, failures and late sends, the SLO's line."""

    wants_figures = True

    def __init__(self, title: str, total_s: float, console: Console | None = None, beside: Beside = lambda: ()) -> None:
        self._title, self._total_s = title, total_s
        self._beside = beside
        self._done_s = 0.0
        self._note = ""
        self._live: Live | None = None
        self._screen = Screen(
            console=console or Console(stderr=True),
            get_renderable=self.render,
            refresh_per_second=RENEWALS_PER_S,
            transient=True,  # the report says it better afterwards
        )

    def __enter__(self) -> Board:
        self._screen.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._screen.stop()

    def note(self, text: str) -> None:
        self._note = text

    def move_to(self, seconds: float) -> None:
        self._done_s = max(self._done_s, min(seconds, self._total_s))

    def show(self, live: Live) -> None:
        self._live = live

    def render(self) -> RenderableType:
        """The whole of it, as it is now."""
        left = f"{max(0.0, self._total_s - self._done_s):.0f} s left"
        head = Table.grid(padding=(0, 1))
        head.add_row(self._title, ProgressBar(total=self._total_s, completed=self._done_s, width=30), left, self._note)
        return Group(head, *self._beside(), *(figures(self._live) if self._live else []))


def figures(live: Live) -> list[RenderableType]:
    """The stage that is on. Its rows say in words what colours say too."""
    table = Table(title=f"{live.variant}, {live.stage}", title_justify="left", expand=False)
    heads = ["s", "req/s", *(f"{name} ms" for name in SHOWN.values()), "answers", "failed", "sent late"]
    for head in heads:
        table.add_column(head, justify="right")
    values = [f"{live.latency_ms[key]:.2f}" if key in live.latency_ms else "-" for key in SHOWN]
    time_s = f"{min(live.seconds, live.length_s):.0f}/{live.length_s:.0f}"
    counts = [f"{count:,}" for count in (live.good, live.failed, live.late)]
    table.add_row(time_s, f"{live.rate_rps:,.0f}", *values, *counts)
    style = {True: "green", False: "red", None: ""}[live.kept]
    return [table, Text(live.slo, style=style), Text(validity(live))]
