"""What a person sees of searches that go on: how far each has come, what is asked of it now, and the load test's table
of the window that is on. On a terminal only; elsewhere the lines that `turns.py` says are all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import RenderableType
from rich.table import Table

from loadtest.live import Live
from loadtest.view import View, Watching
from tune.search.max_rate import Wanted
from tune.search.seeking import Seeker

HEADS = ("", "variant", "knee", "kept", "not kept", "steps", "what comes next")
HERE, ABSENT = "▶", "-"


@dataclass(frozen=True)
class Row:
    """One search as it stands: rates in requests per second, in words."""

    on: bool
    variant: str
    knee: str
    kept: str
    not_kept: str
    steps: int
    next: str


class SearchView:
    """``with SearchView(seekers, seconds) as view: ...``; the searches are expected to take so many ``seconds``."""

    def __init__(self, seekers: Sequence[Seeker], total_s: float) -> None:
        self._seekers = seekers
        self._rows = standing(seekers, "")
        self._done_s = 0.0
        self._watching = Watching("search", total_s, beside=self._table)

    def __enter__(self) -> SearchView:
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

    def begins(self, variant: str) -> None:
        """A step of this variant's search begins."""
        self._rows = standing(self._seekers, variant)

    def over(self, seconds: float) -> None:
        """It took so long."""
        self._rows = standing(self._seekers, "")
        self._done_s += seconds
        self._view.move_to(self._done_s)

    def show(self, live: Live) -> None:
        """How the window goes that is on."""
        self._view.move_to(self._done_s + live.seconds)
        self._view.show(live)

    def _table(self) -> list[RenderableType]:
        """Drawn by another thread: from rows that do not change."""
        return [drawn(self._rows)]


def standing(seekers: Sequence[Seeker], on: str) -> list[Row]:
    """Every search; ``on`` is the variant whose step is being measured."""
    return [_row(seeker, seeker.id == on) for seeker in seekers]


def drawn(rows: Sequence[Row]) -> Table:
    """The table of the searches. Its rows say in words what their style says too."""
    table = Table(expand=False)
    for head in HEADS:
        table.add_column(head, justify="left" if head in ("", HEADS[1], HEADS[-1]) else "right")
    for row in rows:
        cells = [row.variant, row.knee, row.kept, row.not_kept, str(row.steps), row.next]
        table.add_row(HERE if row.on else "", *cells, style="bold" if row.on else "")
    return table


def _row(seeker: Seeker, on: bool) -> Row:
    bracket, found = seeker.search.bracket, seeker.found()
    whose = f" ({bracket.limit})" if bracket.limit not in ("server", "") else ""
    return Row(
        on=on,
        variant=seeker.id,
        knee=_rate(found.knee_rps),
        kept=_rate(bracket.low),
        not_kept=f"{_rate(bracket.high)}{whose}",
        steps=len(found.probes),
        next=_next(seeker, seeker.search.next()),
    )


def _next(seeker: Seeker, wanted: Wanted | None) -> str:
    if seeker.failure:
        return "left out: its server failed"
    if wanted is None:
        value = seeker.found().value
        return f"done: {_rate(value)}/s" if value is not None else "done: no rate was confirmed"
    if wanted.rate is None:
        return f"{wanted.users} users, {wanted.window_s:g} s"
    return f"{wanted.purpose} {_rate(wanted.rate)}/s, {wanted.window_s:g} s"


def _rate(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.4g}"
