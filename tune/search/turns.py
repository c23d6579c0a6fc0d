"""All searches of a run, in turns; what they have found is written down after every step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from contract.files import write_json
from contract.progress import say
from contract.search import FILE, Search
from tune.search.budget import expected_seconds
from tune.search.method import DEAD_S, Method
from tune.search.seeking import Measuring, Seeker

PATIENCE = 1.4
OVERRUN = "confirmations that the machine spoils, or that miss, are made again, however much time is left"


class Steps(Protocol):
    """Who is told of the steps of searches."""

    def begins(self, variant: str) -> None: ...

    def over(self, seconds: float) -> None: ...


class Nobody:
    """Hears of none."""

    def begins(self, variant: str) -> None: ...

    def over(self, seconds: float) -> None: ...


def seek(
    seekers: Sequence[Seeker],
    session: Measuring,
    method: Method,
    results: Path,
    one_by_one: bool = False,
    budget_s: float | None = None,
    steps: Steps = Nobody(),  # noqa: B008 (it has no state)
) -> None:
    """Carry all searches to their end; ``steps`` hears of each step.

    When no more of ``budget_s`` (by default ``PATIENCE`` times what is expected) is left than the confirmations need,
    they bisect no further and confirm what was kept: beside a busy neighbour many a probe has to be made again.
    """
    expected_s = expected_seconds(method, len(seekers))
    what = "1 search" if len(seekers) == 1 else f"{len(seekers)} searches"
    say(f"{what}, about {expected_s / 60:.1f} min; slow servers need longer windows")
    limit_s = budget_s or PATIENCE * expected_s
    width = max(len(seeker.id) for seeker in seekers)
    began = time.monotonic()
    write_json(results / FILE, document(seekers, method, 0.0))
    for seeker in in_turns(seekers, one_by_one):
        steps.begins(seeker.id)
        told, took_s = seeker.step(session)
        say(f"{seeker.id:<{width}}  {told}")
        steps.over(took_s)
        elapsed_s = time.monotonic() - began
        write_json(results / FILE, document(seekers, method, elapsed_s))
        if limit_s - elapsed_s < _to_confirm(seekers, method):
            for each in seekers:
                each.search.hurry()
    elapsed_s = time.monotonic() - began
    if budget_s is not None and elapsed_s > budget_s:
        say(f"budget spent: {elapsed_s:.0f} s of {budget_s:g} s; {OVERRUN}")


def in_turns(seekers: Sequence[Seeker], one_by_one: bool) -> Iterator[Seeker]:
    """Whose step is next, until all are over: one step of each in turn, so that what drifts hits all alike.

    ``one_by_one`` where models are loaded and unloaded: then a search goes to its end before the next one begins.
    """
    for group in [[seeker] for seeker in seekers] if one_by_one else [list(seekers)]:
        while waiting := [seeker for seeker in group if not seeker.over]:
            yield from waiting


def document(seekers: Sequence[Seeker], method: Method, seconds: float) -> Search:
    """search.json, as far as the searches have come."""
    return Search(
        schema_version=1,
        resolution=method.resolution,
        probe_s=method.probe_s,
        confirm_s=method.confirm_s,
        complete=all(seeker.over for seeker in seekers),
        found=[seeker.found() for seeker in seekers],
        seconds=round(seconds, 3),
        grid_seconds=round(sum(seeker.search.grid_seconds() for seeker in seekers), 3),
    )


def _to_confirm(seekers: Sequence[Seeker], method: Method) -> float:
    """Seconds that the confirmations of those searches take that are not over."""
    return sum(method.confirm_s + method.warmup_s + DEAD_S for seeker in seekers if not seeker.over)
