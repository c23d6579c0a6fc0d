"""What no machine can do, or nobody can want, is refused before anything is sent: one row per kind of number. Pure."""

from __future__ import annotations

from collections.abc import Callable

from contract.errors import UsageError
from contract.records import Plan, Stage
from contract.shapes import Spike
from loadtest.plan.planning import peak_rate

MOST_RPS = 1_000_000.0  # twenty times what a load process sends at most
LONGEST_S = 31 * 86_400.0  # a stage
SHORTEST_S = 0.1  # a window: ten times what may pass between two wake-ups of a busy machine
MOST_ATTEMPTS = 100  # whatever spoils a stage so often will not let the next one be
MOST_ANSWERS = 100_000  # they are in memory until their stage is over: 100 MB where each has 1 KB
# A load process keeps one core busy at most, so more than one per core only take turns. A few are let through: how
# several behave together can be tried on a machine of one core.
MOST_PER_CORE = 4


def _too_fast(stage: Stage, _: int | None) -> str:
    rate = peak_rate(stage)
    if rate <= MOST_RPS:
        return ""
    return f"{rate:g} requests per second are more than any load generator sends; plan {MOST_RPS:,.0f} at most"


def _too_long(stage: Stage, _: int | None) -> str:
    if stage.warmup_s + stage.duration_s <= LONGEST_S:
        return ""
    return f"{stage.warmup_s + stage.duration_s:g} s are more than a month; let it last {LONGEST_S:,.0f} s at most"


def _too_short(stage: Stage, _: int | None) -> str:
    if stage.duration_s >= SHORTEST_S:
        return ""
    return (
        f"a window of {stage.duration_s:.3g} s (duration_s, divided by the rounds) is over before anything is steady; "
        f"let it last {SHORTEST_S:g} s in each round at least, or lower rounds"
    )


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
        f"{stage.duration_s:g} s (duration_s, divided by the rounds); begin it earlier, let the "
        "stage last longer, or give its plan rounds = 1"
    )


IMPOSSIBLE: tuple[Callable[[Stage, int | None], str], ...] = (_too_fast, _too_long, _too_short, _too_many, _cut_off)


def _crowded(plan: Plan) -> str:
    most = MOST_PER_CORE * plan.machine.cores
    if plan.processes <= most:
        return ""
    return (
        f"processes = {plan.processes:,}: each keeps a core busy, and this machine has {plan.machine.cores} for them, "
        f"for which they would wait and send late; plan one per core, {most} at most, and let other machines join "
        "where that is not enough (--workers)"
    )


def _untiring(plan: Plan) -> str:
    if plan.attempts <= MOST_ATTEMPTS:
        return ""
    return (
        f"attempts = {plan.attempts:,}: a machine that spoils a stage {MOST_ATTEMPTS} times spoils the next one too; "
        f"plan {MOST_ATTEMPTS} at most"
    )


def _hoarding(plan: Plan) -> str:
    if plan.answers <= MOST_ANSWERS:
        return ""
    return (
        f"answers = {plan.answers:,}: each load process has those of a stage in memory until it is over; keep "
        f"{MOST_ANSWERS:,} at most, they are a fair sample of all"
    )


SENSELESS: tuple[Callable[[Plan], str], ...] = (_crowded, _untiring, _hoarding)


def refuse_impossible(variant: str, stages: list[Stage], sockets: int | None) -> None:
    """Raises UsageError for the first stage that cannot be; ``sockets`` is how many all load processes
    can open, None where nobody knows."""
    for stage in stages:
        why = next((why for reason in IMPOSSIBLE if (why := reason(stage, sockets))), "")
        if why:
            raise UsageError(f"{variant} {stage.name}: {why}")


def refuse_senseless(plan: Plan) -> None:
    """Raises UsageError for the first number of a whole run that is beyond all use."""
    why = next((why for reason in SENSELESS if (why := reason(plan))), "")
    if why:
        raise UsageError(f"[load] {why}")
