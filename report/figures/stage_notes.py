"""What a person should know beside the figures of a stage, none of which makes it invalid. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contract.records import Stage, StageObservation
from report.figures.answers import Judged
from report.figures.promise import unlike
from report.words import counted


def notes_of(stage: Stage, rounds: Sequence[StageObservation], judged: Judged, requests: int, failed: int) -> list[str]:
    """The sentences; ``failed`` of the ``requests`` of the windows have no latency."""
    notes = []
    if stage.judged and stage.mode == "open" and unlike(stage):
        notes.append(f"shown, and not what the objectives are judged on: {unlike(stage)}")
    again = [seen for seen in rounds if seen.attempt > 1]
    if again:
        where = f" in round {' and '.join(str(seen.round) for seen in again)}" if len(rounds) > 1 else ""
        most = max(seen.attempt for seen in again)
        notes.append(f"attempt {most}{where}: before it the machine was not steady, or sends were late")
    if judged.by_form:
        notes.append(
            f"{judged.by_form} of the {judged.checked} sampled answers were judged by shape, type and finiteness only: "
            "there is no trained model's answer to requests that were changed or brought"
        )
    if reopened := sum(seen.reopened for seen in rounds):
        its, failure = ("its", "no failure") if reopened == 1 else ("their", "no failures")
        notes.append(
            f"{counted(reopened, 'request')} found {its} kept connection closed or reset by the server and went over a "
            f"new one: {failure}, but {its} latency has it in"
        )
    if failed > requests / 100:
        notes.append(
            f"percentiles are those of good answers; {failed / requests:.2%} of the requests failed, so of all "
            "requests the p99 is a failure"
        )
    return notes
