"""What a person sees of searches that go on: how far each has come, and what is asked of it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from tune.search.max_rate import Wanted
from tune.search.seeking import Seeker
from tune.stepwise import ABSENT, Stepwise, table

HEADS = ("variant", "knee", "kept", "not kept", "steps", "what comes next")


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


class SearchView(Stepwise):
    """``with SearchView(seekers, seconds) as view: ...``; the searches are expected to take so many ``seconds``."""

    def __init__(self, seekers: Sequence[Seeker], total_s: float) -> None:
        super().__init__("search", total_s, drawn(standing(seekers, "")))
        self._seekers = seekers
        self._took_s = 0.0

    def begins(self, variant: str) -> None:
        """A step of this variant's search begins."""
        self.begin(drawn(standing(self._seekers, variant)))

    def over(self, seconds: float) -> None:
        """It took so long."""
        self._took_s += seconds
        self.end(drawn(standing(self._seekers, "")), self._took_s)


def standing(seekers: Sequence[Seeker], on: str) -> list[Row]:
    """Every search; ``on`` is the variant whose step is being measured."""
    return [_row(seeker, seeker.id == on) for seeker in seekers]


def drawn(rows: Sequence[Row]) -> Table:
    """The table of the searches."""
    cells = [(row.variant, row.knee, row.kept, row.not_kept, str(row.steps), row.next) for row in rows]
    return table(HEADS, (HEADS[0], HEADS[-1]), cells, next((n for n, row in enumerate(rows) if row.on), None))


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
