"""What a report does not answer, and the command that would: so that an absent section is no riddle. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from contract.verdict import Report, StageResult
from report.figures.cells import rows_of


class Question(NamedTuple):
    """Something that a run may answer, and the command that makes it do so."""

    what: str
    answered: Callable[[Report], bool]
    command: str


def not_measured(report: Report) -> list[Question]:
    """The questions that this report leaves open."""
    return [question for question in QUESTIONS if not question.answered(report)]


def _any_stage(holds: Callable[[StageResult], bool]) -> Callable[[Report], bool]:
    return lambda report: any(holds(stage) for variant in report.variants for stage in variant.stages)


def _overloaded(report: Report) -> bool:
    return any(variant.overload is not None for variant in report.variants)


def _priced(report: Report) -> bool:
    return any(variant.slo.cost_per_million is not None for variant in report.variants)


QUESTIONS = (
    Question("The highest rate under the objectives", lambda report: report.search is not None, "make slo"),
    Question(
        "Which variant wins at which batch size and number of users",
        _any_stage(lambda stage: rows_of(stage) is not None),
        "make loadtest PLAN=map",
    ),
    Question("How throughput grows with replicas", lambda report: report.scaling is not None, "make scale"),
    Question("Whether it holds for long", _any_stage(lambda stage: stage.endurance is not None), "make soak"),
    Question("What becomes of it above its maximum", _overloaded, "make overload"),
    Question("What a million inferences cost", _priced, "make slo, with prices and measured_on in models.toml"),
)
