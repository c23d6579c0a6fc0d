"""What stored reports measured, figure by figure over time, and what changed between them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from contract.verdict import Report
from report import words
from report.runs.headline import HEADLINES, Headline
from report.runs.promises import promised_otherwise


@dataclass(frozen=True)
class Reading:
    """One report's figure of a variant; None where it has none. ``changed``: what is new since the one before."""

    report: str
    started: str
    value: float | None
    changed: str


@dataclass(frozen=True)
class Trend:
    """One figure of one variant over all reports."""

    model: str
    variant: str
    label: str
    figure: Headline
    limit: float | None  # what the newest report promises of it, where something is promised
    readings: tuple[Reading, ...]

    @property
    def values(self) -> list[float]:
        """The figures that there are, in order."""
        return [reading.value for reading in self.readings if reading.value is not None]

    @property
    def ends(self) -> list[float]:
        """The first and the last of them; one alone where there is no other."""
        return [self.values[0], self.values[-1]] if len(self.values) > 1 else self.values


def trends(reports: Sequence[Report]) -> list[Trend]:
    """Each figure of each variant that some report has, models and variants in the order of their appearance."""
    labels = _labels(reports)
    changed = ["", *(", ".join(changes(before, after)) for before, after in pairwise(reports))]
    places = {model: place for place, model in enumerate(dict.fromkeys(model for model, _ in labels))}
    found = []
    for (model, variant), label in sorted(labels.items(), key=lambda item: places[item[0][0]]):
        promised = [report.objectives[model] for report in reports if model in report.objectives]
        for figure in HEADLINES.values():
            readings = tuple(
                Reading(report.id, report.started, _value(report, variant, figure), what)
                for report, what in zip(reports, changed, strict=True)
            )
            limit = promised[-1].get(figure.promise) if promised else None
            trend = Trend(model, variant, label, figure, limit, readings)
            if trend.values:
                found.append(trend)
    return found


def undrawn(reports: Sequence[Report], found: Sequence[Trend]) -> list[str]:
    """A sentence for each model of which some variant has no trend: what is not drawn was measured all the same."""
    drawn = {(trend.model, trend.variant) for trend in found}
    labels = _labels(reports)
    sentences = []
    for model in dict.fromkeys(model for model, _ in labels):
        of_model = [key for key in labels if key[0] == model]
        missing = [labels[key] for key in of_model if key not in drawn]
        if missing:
            whole = len(missing) == len(of_model)
            named = f"none of its {words.counted(len(missing), 'variant')} has" if whole else _has_none(missing)
            sentences.append(f"{model}: {named} a valid figure at the promised rate in any of these reports.")
    return sentences


def _has_none(labels: Sequence[str]) -> str:
    return f"{'; '.join(labels)}: {'none of them has' if len(labels) > 1 else 'never has'}"


def _labels(reports: Sequence[Report]) -> dict[tuple[str, str], str]:
    """What each variant of each model is called, by (model, id), in the newest report that has it."""
    labels: dict[tuple[str, str], str] = {}
    for report in reports:
        names = words.labels(report)
        labels |= {(variant.model, variant.id): names[variant.id] for variant in report.variants}
    return labels


def changes(before: Report, after: Report) -> Iterator[str]:
    """What two reports were not measured with alike: each makes figures that stand beside each other less alike."""
    for name, value in after.machine:
        if value != getattr(before.machine, name):
            yield f"{name} {getattr(before.machine, name)} -> {value}"
    if after.load_plan != before.load_plan:
        yield f"load plan {before.load_plan or 'of [load]'} -> {after.load_plan or 'of [load]'}"
    yield from promised_otherwise(before, after)
    known = list(dict.fromkeys([*before.versions, *after.versions]))
    now = {"target Triton": after.target, **{name: after.versions.get(name, "none") for name in known}}
    then = {"target Triton": before.target, **{name: before.versions.get(name, "none") for name in known}}
    yield from (f"{name} {then[name]} -> {now[name]}" for name in now if now[name] != then[name])


def _value(report: Report, variant: str, figure: Headline) -> float | None:
    found = next((item for item in report.variants if item.id == variant), None)
    return figure.of(report, found) if found else None
