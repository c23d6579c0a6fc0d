"""Several runs side by side: what each measured, how far it lies from the first, and whether that exceeds the noise.

A difference means something only where it is larger than what either run leaves open by having measured one variant
twice (A/A, `margin.py`). Where a run measured nothing twice, nothing is said about its differences. This is a look at
runs, not a test: `python -m tune compare` is one, over the rounds of two runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from contract.errors import UsageError
from contract.verdict import Report, StageResult, Variant
from report import words
from report.runs.headline import HEADLINES
from report.runs.promises import promised_otherwise

LONGEST_NAME = 200  # bytes; a file system takes 255

OF_A_STAGE: dict[str, Callable[[StageResult], float | None]] = {
    "p50": lambda stage: stage.latency_ms.p50.value,
    "p99": lambda stage: stage.latency_ms.p99.value,
    "throughput": lambda stage: stage.throughput_rps,
}


@dataclass(frozen=True)
class Entry:
    """One run's figure. ``change`` is relative to the first run; ``beyond`` whether it exceeds the noise of both."""

    value: float | None
    change: float | None = None
    beyond: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One figure of one variant and stage in every run; ``stage`` is empty for a figure of the whole variant.

    ``payloads`` is what the stage sent: stages of one name that send something else are never beside each other.
    """

    model: str
    variant: str
    label: str
    stage: str
    payloads: str
    figure: str
    unit: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class SideBySide:
    """The comparison: ids of the runs, what must be known first, the lines."""

    runs: tuple[str, ...]
    warnings: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        """All runs; where that is too long for a folder, the first, how many more, and a fingerprint of them all."""
        name = "-with-".join(self.runs)
        if len(name.encode()) <= LONGEST_NAME:
            return name
        return f"{self.runs[0]}-with-{len(self.runs) - 1}-more-{sha256(name.encode()).hexdigest()[:8]}"


def side_by_side(reports: Sequence[Report]) -> SideBySide:
    """Compare runs with the first of them. Raises UsageError when one is named twice, or none shares a variant."""
    runs = tuple(report.id for report in reports)
    if len(set(runs)) < len(runs):
        raise UsageError(f"the runs {', '.join(runs)} are not all different; name each once")
    lines = tuple(_lines(reports))
    if not lines:
        raise UsageError(f"the runs {', '.join(runs)} have no variant in common; compare runs of the same models")
    return SideBySide(runs, tuple(differences(reports)), lines)


def _lines(reports: Sequence[Report]) -> Iterator[Line]:
    first, *others = reports
    names = words.labels(first)
    for variant in first.variants:
        found = [variant, *(next((v for v in other.variants if v.id == variant.id), None) for other in others)]
        if sum(item is not None for item in found) < 2:
            continue
        about = (variant.model, variant.id, names[variant.id])
        for stage in variant.stages:
            if stage.mode == "open" and stage.purpose in ("measure", "confirm"):
                stages = [_alike(stage, item) for item in found]
                for figure, of in OF_A_STAGE.items():
                    about_figure = HEADLINES[figure]
                    noise = [about_figure.noise(report.noise) for report in reports]
                    entries = _entries([_of_stage(item, of) for item in stages], noise)
                    yield Line(*about, stage.name, stage.payloads, figure, about_figure.unit, entries)
        rate = HEADLINES["max rate"]
        rates = [rate.of(r, v) if v else None for r, v in zip(reports, found, strict=True)]
        if any(value is not None for value in rates):
            entries = _entries([Entry(value) for value in rates], [rate.noise(r.noise) for r in reports])
            yield Line(*about, "", "", rate.name, rate.unit, entries)


def _alike(stage: StageResult, variant: Variant | None) -> StageResult | None:
    """The stage of that name with the same requests, in another run or in the same."""
    found = variant.stages if variant else []
    return next((item for item in found if (item.name, item.payloads) == (stage.name, stage.payloads)), None)


def _of_stage(stage: StageResult | None, of: Callable[[StageResult], float | None]) -> Entry:
    if stage is None:
        return Entry(None, note="not measured with these requests")
    return Entry(of(stage), note="" if stage.valid else "INVALID")


def _entries(measured: Sequence[Entry], noise: Sequence[float | None]) -> tuple[Entry, ...]:
    """The figures with their changes: none from or to what is missing or not valid."""
    base, known = measured[0], noise[0]
    found = [base]
    for item, own in zip(measured[1:], noise[1:], strict=True):
        if item.value is None or not base.value or item.note or base.note:
            found.append(item)
            continue
        change = item.value / base.value - 1
        beyond = None if known is None or own is None else abs(change) > max(known, own)
        found.append(Entry(item.value, change, beyond, item.note))
    return tuple(found)


def other_machine(first: Report, other: Report) -> bool:
    """Whether the load of two runs came from different kinds of machine."""
    return (other.machine.processor, other.machine.cores) != (first.machine.processor, first.machine.cores)


def differences(reports: Sequence[Report]) -> Iterator[str]:
    """What sets runs apart from the first besides what was to be compared, in sentences."""
    first = reports[0]
    for other in reports[1:]:
        if other_machine(first, other):
            yield (
                f"{other.id} was measured on another machine ({_machine(other)}) than {first.id} ({_machine(first)}): "
                "differences are those of the machines, too."
            )
        elif other.machine != first.machine:
            changed = [name for name, value in other.machine if value != getattr(first.machine, name)]
            yield f"{other.id} was measured with another {', '.join(changed)} than {first.id}."
        versions = sorted(
            name
            for name in first.versions.keys() | other.versions.keys()
            if first.versions.get(name) != other.versions.get(name)
        )
        if versions:
            told = ", ".join(
                f"{n} {first.versions.get(n, 'none')} -> {other.versions.get(n, 'none')}" for n in versions
            )
            yield f"{other.id} was measured with other versions than {first.id}: {told}."
        if _stages_of(other) != _stages_of(first):
            yield f"{other.id} went through {_stages_of(other)}, {first.id} through {_stages_of(first)}."
        promised = list(promised_otherwise(first, other))
        if promised:
            yield f"{other.id} was judged by other objectives than {first.id}: {', '.join(promised)}."
        yield from _other_variants(first, other)


def _stages_of(report: Report) -> str:
    if report.search is not None:
        return "a search"
    return f"the load plan '{report.load_plan}'" if report.load_plan else "the stages of [load]"


def _other_variants(first: Report, other: Report) -> Iterator[str]:
    own, theirs = ({variant.id: variant for variant in report.variants} for report in (first, other))
    for here, there, run in ((own, theirs, other.id), (theirs, own, first.id)):
        missing = [name for name in here if name not in there]
        if missing:
            yield f"{run} did not measure {', '.join(missing)}."
    changed = [name for name in own if name in theirs and _differs(own[name], theirs[name])]
    if changed:
        yield f"{', '.join(changed)}: configured otherwise, or served otherwise, in {other.id} than in {first.id}."


def _differs(one: Variant, other: Variant) -> bool:
    """Whether they were served otherwise, as far as both runs know: older ones know less of a configuration."""
    return _setup(one) != _setup(other) or bool(one.configuration.differing(other.configuration))


def _setup(variant: Variant) -> tuple[object, ...]:
    return variant.device, variant.engine_kind, variant.engine_version, variant.stand_in_for


def _machine(report: Report) -> str:
    return f"{report.machine.processor}, {words.counted(report.machine.cores, 'core')}"
