"""What the records of one measured stage say about latency: for a confirmation's claim, and for a figure to compare."""

from __future__ import annotations

from pathlib import Path

from contract.files import read_model
from contract.parts import Parts
from contract.records import Observation
from contract.statistics import Floats
from report.figures.summary import good_latencies


def latencies_ms(results: Path, variant: str, stage: int) -> Floats:
    """Milliseconds from the intended send of the good answers, in order of time; of no other stage is anything read."""
    observation = read_model(results / f"server-stats-{variant}.json", Observation, "the search")
    rounds = [seen for seen in observation.stages if seen.stage == stage]
    return good_latencies(Parts(results, variant).stage(stage), stage, rounds)
