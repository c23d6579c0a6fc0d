"""results/<id>/trials.json: every configuration that was tried for a model, kept as it was tried.

Each trial is a variant of the run with records of its own, so the report shows and judges it like any other.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.batching import Value
from contract.manifest import Entry

FILE = "trials.json"

Objective = Literal["rate", "latency"]
Outcome = Literal["measured", "missed", "failed"]


class Trial(Entry):
    """One configuration that was loaded, proven and measured."""

    variant: str = Field(description="id of the variant: the endpoint's, and the number of the trial")
    results: str = Field(description="id of the run that holds its records; an earlier one where a run was resumed")
    purpose: Literal["start", "again", "climb", "confirm"] = Field(
        description="`start`: as it was; `again`: the same once more, to know the noise; `climb`: a step; `confirm`: "
        "start and best at last once more, by which the best is judged"
    )
    configuration: dict[str, Value] = Field(description="keys of [models.NAME.batching]")
    outcome: Outcome = Field(
        description="`missed`: no rate kept the objectives; `failed`: not loaded, proven, measured"
    )
    value: float | None = Field(description="rate: requests per second; latency: p99 in ms; null where not measured")
    reason: str = Field("", description="why there is no value, or why it was measured more than once")
    load_s: float | None = Field(description="from the load command to ready")
    seconds: float = Field(description="that the trial took, reload and proof included")


class Climb(Entry):
    """The trials of one endpoint."""

    endpoint: str = Field(description="id of the endpoint")
    model: str = Field(description="name in models.toml")
    start: dict[str, Value] = Field(description="the configuration as it was")
    noise: float = Field(description="a smaller relative difference counts for nothing")
    trials: list[Trial] = Field(description="in order")
    best: dict[str, Value] | None = Field(description="what was confirmed to be better than the start, else null")
    gain: float | None = Field(description="relative, of the confirmation: 0.2 is 20 % more rate, or less latency")
    ended: str = Field(description="why there were no more trials; empty where it was interrupted")


class Trials(Entry):
    """results/<id>/trials.json."""

    schema_version: Literal[1]
    objective: Objective = Field(
        description="`rate`: the highest rate that keeps the objectives; `latency`: the p99 at a fixed rate"
    )
    at_rate: float | None = Field(description="of the objective `latency`, requests per second; null otherwise")
    climbs: list[Climb] = Field(description="by endpoint")

    def of(self, endpoint: str) -> Climb | None:
        """What was tried for one endpoint."""
        return next((climb for climb in self.climbs if climb.endpoint == endpoint), None)
