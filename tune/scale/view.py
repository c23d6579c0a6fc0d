"""What a person sees of a curve that is measured: every number with its figures, and what is asked of it now."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from contract.scaling import Point
from tune.configuration.gauging import HURRY_S, METHOD
from tune.scale.counting import WINDOW_S
from tune.scale.unit import Name
from tune.stepwise import ABSENT, Stepwise, table

STARTS_S = 10.0  # about what one number takes to come up and to be proven
DIRECT = "1, without the proxy"
MOST = "the most so far"


class CurveView(Stepwise):
    """``with CurveView(numbers, loops, unit) as view: ...``: ``loops`` closed loops and a search at each number."""

    def __init__(self, numbers: Sequence[int], loops: int, unit: Name) -> None:
        self._numbers, self._unit = list(numbers), unit
        self._points: list[Point] = []
        self._direct: Point | None = None
        self._each_s = STARTS_S + loops * (WINDOW_S + METHOD.warmup_s) + HURRY_S
        super().__init__("scale", len(self._numbers) * self._each_s, self._drawn(""))

    def begins(self, what: str) -> None:
        """A number is about to be brought up, or asked ``DIRECT``ly."""
        self.begin(self._drawn(what), self._each_s)

    def over(self, points: Sequence[Point], direct: Point | None) -> None:
        """So much was measured."""
        self._points, self._direct = list(points), direct
        self.end(self._drawn(""), len(points) * self._each_s)

    def _drawn(self, on: str) -> Table:
        return drawn(self._numbers, self._points, self._direct, self._unit, on)


def drawn(numbers: Sequence[int], points: Sequence[Point], direct: Point | None, unit: Name, on: str) -> Table:
    """Every number as it stands; ``on`` is the one that is being measured, in words."""
    found = {str(point.n): point for point in points} | ({DIRECT: direct} if direct else {})
    names = [str(number) for number in numbers]
    if DIRECT in (on, *found):
        names.insert(1, DIRECT)
    heads = (unit, "answers/s", "users", "p99 ms", "req/s under the SLO", "what comes of it")
    best = max((point.max_rps for point in points if point.max_rps is not None), default=None)
    rows = [(name, *_figures(found.get(name), best, name == on)) for name in names]
    return table(heads, (unit, heads[-1]), rows, names.index(on) if on in names else None)


def _figures(point: Point | None, best: float | None, on: bool) -> tuple[str, ...]:
    if point is None:
        return (ABSENT, ABSENT, ABSENT, ABSENT, "is measured" if on else "waits")
    said = point.invalid or (MOST if best is not None and point.max_rps == best else point.reason)
    return (_figure(point.closed_rps), str(point.users), _figure(point.p99_ms), _figure(point.max_rps), said)


def _figure(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.4g}"
