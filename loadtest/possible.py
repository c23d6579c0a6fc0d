"""What no machine can do is refused before anything is sent: one row for each kind of number. Pure."""

from __future__ import annotations

from collections.abc import Callable

from contract.errors import UsageError
from contract.records import Stage
from contract.shapes import Spike
from loadtest.planning import peak_rate

MOST_RPS = 1_000_000.0  # twenty times what a load process sends at most
LONGEST_S = 31 * 86_400.0  # a stage


def _too_fast(stage: Stage, _: int | None) -> str:
    rate = peak_rate(stage)
    if rate <= MOST_RPS:
        return ""
    return f"{rate:g} requests per second are more than any load generator sends; plan {MOST_RPS:,.0f} at most"


def _too_long(stage: Stage, _: int | None) -> str:
    if stage.warmup_s + stage.duration_s <= LONGEST_S:
        return ""
    return f"{stage.warmup_s + stage.duration_s:g} s are more than a month; let it last {LONGEST_S:,.0f} s at most"


def _too_many(stage: Stage, sockets: int | None) -> str:
    if sockets is None or stage.in_flight < sockets:
        return ""
    what = "users" if stage.mode == "closed" else "in_flight"
    return (
        f"{stage.in_flight:,} requests in flight may need as many connections, and the load processes of this machine "
        f"can open {sockets:,} files; lower {what}, or raise 'ulimit -n'"
    )


def _cut_off(stage: Stage, _: int | None) -> str:
    shape = stage.shape
    if not isinstance(shape, Spike) or shape.begin_s + shape.length_s <= stage.duration_s:
        return ""
    return (
        f"the spike lasts from {shape.begin_s:g} to {shape.begin_s + shape.length_s:g} s, but the window is over after "
        f"{stage.duration_s:g} s (duration_s, divided by the rounds); begin it earlier, or let the stage last longer"
    )


IMPOSSIBLE: tuple[Callable[[Stage, int | None], str], ...] = (_too_fast, _too_long, _too_many, _cut_off)


def refuse_impossible(variant: str, stages: list[Stage], sockets: int | None) -> None:
    """Raises UsageError for the first stage that cannot be; ``sockets`` is how many all load processes
    can open, None where nobody knows."""
    for stage in stages:
        why = next((why for reason in IMPOSSIBLE if (why := reason(stage, sockets))), "")
        if why:
            raise UsageError(f"{variant} {stage.name}: {why}")
