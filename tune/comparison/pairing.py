"""Two sides of a comparison become pairs of figures: what may be compared with what, and what must be said first. Pure.

With one run on each side the replications are its rounds (or blocks of them), with several runs the runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from contract.errors import UsageError
from contract.search import Limit
from contract.statistics import Floats
from contract.verdict import Report, StageResult, Variant
from report.runs.headline import HEADLINES
from report.runs.side_by_side import differences, other_machine
from report.words import closed_stages
from tune.comparison.regression import LEAST, Pair
from tune.comparison.replications import Round, blocks, values
from tune.comparison.runs import Measured, Run

Unit = Literal["rounds", "blocks of time", "runs"]
OF_STAGE = {"open": ("p50", "p99"), "closed": ("throughput",)}
MAX_RATE = "max rate"
# Who ended a search in the server's place: the rate that was found is a lower bound.
BOUNDED: Mapping[Limit, str] = {"load generator": "the load generator was", "range": "its range was"}


@dataclass(frozen=True)
class Pairing:
    """What is compared, by which replications, and what a reader must know first."""

    pairs: list[Pair]
    units: list[Unit]
    warnings: list[str]


def pair_up(base: Sequence[Run], new: Sequence[Run], any_machine: bool = False) -> Pairing:
    """Pair the figures of the variants that all runs of both sides measured; at least one run on each side.

    Raises UsageError when they share no variant, or were measured on different machines (unless ``any_machine``).
    """
    runs = [*base, *new]
    reports = [run.report for run in runs]
    _same_machine(reports, any_machine)
    shared = [item for item in reports[0].variants if all(_find(report, item.id) for report in reports)]
    if not shared:
        raise UsageError(
            f"{', '.join(report.id for report in reports)} have no variant in common; "
            "compare runs of the same models, formats and protocols"
        )
    by_rounds = len(runs) == 2 and all(run.stages is not None for run in runs)
    found: list[tuple[Pair, Unit]] = []
    for variant in shared:
        found += _by_rounds(base[0], new[0], variant) if by_rounds else _by_runs(base, new, variant)
        found += _max_rate(base, new, variant)
    units = dict.fromkeys(unit for pair, unit in found if pair.figure != MAX_RATE or not by_rounds)
    return Pairing([pair for pair, _ in found], list(units), list(differences(reports)))


def _same_machine(reports: Sequence[Report], any_machine: bool) -> None:
    for other in reports[1:]:
        if other_machine(reports[0], other) and not any_machine:
            first, second = (f"{r.id}: {r.machine.processor}, {r.machine.cores} cores" for r in (reports[0], other))
            raise UsageError(
                f"the runs were measured on different machines ({first}; {second}), so a difference says nothing about "
                "what was served; measure both on one machine, or compare them nonetheless with --any-machine"
            )


def _by_rounds(base: Run, new: Run, variant: Variant) -> Iterator[tuple[Pair, Unit]]:
    """The stages that both runs went through."""
    for stage in _stages(variant):
        key = (variant.id, stage.name)
        before, after = (base.stages or {}).get(key), (new.stages or {}).get(key)
        if before is None or after is None:
            continue
        refused = _unlike(before, after) or _spoiled((base, new), variant.id, stage.name)
        ours, theirs, unit = _replications(before, after)
        for figure in OF_STAGE[stage.mode]:
            yield (
                replace(
                    _pair(variant, stage.name, figure, values(ours, figure), values(theirs, figure), refused),
                    noise=_noise((base, new), figure),
                ),
                unit,
            )


def _by_runs(base: Sequence[Run], new: Sequence[Run], variant: Variant) -> Iterator[tuple[Pair, Unit]]:
    """The stages that all runs went through, each run as one replication."""
    for stage in _stages(variant):
        if all(_result(run, variant.id, stage.name) for run in (*base, *new)):
            refused = _spoiled((*base, *new), variant.id, stage.name)
            for figure in OF_STAGE[stage.mode]:
                ours, theirs = (_over(side, variant.id, stage.name, figure) for side in (base, new))
                # How far runs of the same lie apart is in the replications; a measurement within one adds nothing.
                yield _pair(variant, stage.name, figure, ours, theirs, refused), "runs"


def _max_rate(base: Sequence[Run], new: Sequence[Run], variant: Variant) -> Iterator[tuple[Pair, Unit]]:
    """The highest rate under the objectives: a search is one replication, whatever it took."""
    runs = [*base, *new]
    searches = [run.report.search for run in runs if run.report.search is not None]
    if len(searches) == len(runs):
        ours, theirs = _rates(base, variant.id), _rates(new, variant.id)
        pair = _pair(variant, "", MAX_RATE, ours, theirs, _no_rate(base, new, variant.id))
        resolution = max(search.resolution for search in searches)
        yield replace(pair, noise=_noise(runs, MAX_RATE), resolution=resolution), "runs"


def _pair(variant: Variant, stage: str, figure: str, base: Floats, new: Floats, refused: str) -> Pair:
    about = HEADLINES[figure]
    names = (variant.model, variant.id, stage, figure, about.unit, about.better)
    return Pair(*names, base=base, new=new, refused=refused)


def _noise(runs: Iterable[Run], figure: str) -> float:
    return max(HEADLINES[figure].noise(run.report.noise) or 0.0 for run in runs)


def _replications(before: Measured, after: Measured) -> tuple[Sequence[Round], Sequence[Round], Unit]:
    """Rounds; blocks on both sides where a side has too few rounds and both are long enough for blocks."""
    if min(len(before.rounds), len(after.rounds)) < LEAST:
        ours, theirs = blocks(before.rounds), blocks(after.rounds)
        if ours and theirs:
            return ours, theirs, "blocks of time"
    return before.rounds, after.rounds, "rounds"


def _over(side: Sequence[Run], variant: str, stage: str, figure: str) -> Floats:
    """One value per run, of those that have one."""
    results = [result for run in side if (result := _result(run, variant, stage))]
    if figure == "throughput":
        return np.array([result.throughput_rps for result in results if result.throughput_rps > 0], dtype=np.float64)
    found = [getattr(result.latency_ms, figure).value for result in results]
    return np.array([value for value in found if value], dtype=np.float64)


def _rates(side: Sequence[Run], variant: str) -> Floats:
    rate = HEADLINES[MAX_RATE]
    found = [rate.of(run.report, item) for run in side if (item := _find(run.report, variant))]
    return np.array([value for value in found if value], dtype=np.float64)


def _stages(variant: Variant) -> list[StageResult]:
    """The open-loop stages that are judged, and the closed one with the most users; nothing that served a search.

    A search begins from closed loops of a second or two, and confirms at a rate of its own.
    """
    own = variant.model_copy(update={"stages": [stage for stage in variant.stages if stage.purpose == "measure"]})
    return [*(stage for stage in own.stages if stage.of_slo), *closed_stages(own)[-1:]]


def _unlike(before: Measured, after: Measured) -> str:
    """What the two plans of a stage have not in common."""
    changed = [name for name, value in before.stage if value != getattr(after.stage, name)]
    told = [f"{name} {getattr(before.stage, name)} -> {getattr(after.stage, name)}" for name in changed]
    return f"the stages were not planned alike: {', '.join(told)}" if told else ""


def _spoiled(runs: Iterable[Run], variant: str, stage: str) -> str:
    """Why the figures of a stage may not be used, of the first run where they may not."""
    for run in runs:
        item, result = _find(run.report, variant), _result(run, variant, stage)
        if item is None or result is None:
            return f"{run.report.id} did not measure it"
        if not (item.parity.export.passed and item.parity.endpoint.passed):
            return f"in {run.report.id} it does not agree with the trained model"
        if result.wrong_answers:
            return f"in {run.report.id} {result.wrong_answers} of {result.answers_checked} sampled answers were wrong"
        if not result.valid:
            return f"INVALID in {run.report.id}: {'; '.join(result.reasons)}"
        if result.client_bound:
            return f"in {run.report.id} the load generator was the limit, not the server"
    return ""


def _no_rate(base: Sequence[Run], new: Sequence[Run], variant: str) -> str:
    """Why the highest rates may not be compared: a side has none, or the first one whose limit was not the server's."""
    for side in (base, new):
        if not len(_rates(side, variant)):
            return f"no rate was confirmed in {' and '.join(run.report.id for run in side)}"
    for run in (*base, *new):
        item = _find(run.report, variant)
        if item is not None and item.slo.max_rps.limited_by in BOUNDED:
            who = BOUNDED[item.slo.max_rps.limited_by]
            return f"in {run.report.id} {who} the limit, not the server: it may do more"
    return ""


def _find(report: Report, variant: str) -> Variant | None:
    return next((item for item in report.variants if item.id == variant), None)


def _result(run: Run, variant: str, stage: str) -> StageResult | None:
    item = _find(run.report, variant)
    return next((found for found in item.stages if found.name == stage), None) if item else None
