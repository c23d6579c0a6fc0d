"""[load] and [affinity] of models.toml: how every variant is put under load, and on which cores."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from contract.section import Count, Natural, NotNegative, Positive, Section

SHORTEST_S, LONGEST_S = 6.0, 60.0  # of an open-loop stage whose length nobody stated
# Requests of such a stage. A p99 needs 459 (contract/statistics.py), which are due of 600 in practically every draw.
REQUESTS = 600
PAYLOAD_SEED, SAMPLING_SEED = 1_000_000, 2_000_000  # added to the seed that they are derived from


class OwnSeeds(Section):
    """Seeds of single choices; what is absent is derived from `seed`. The run's plan and the report hold all three."""

    schedule: Natural | None = Field(None, description="arrival times; `seed` by default")
    payload: Natural | None = Field(None, description=f"which request is sent; `seed` + {PAYLOAD_SEED:,} by default")
    sampling: Natural | None = Field(None, description=f"which answers are kept; `seed` + {SAMPLING_SEED:,} by default")


class Load(Section):
    """How every variant is put under load; the stages of a run that names no plan."""

    concurrency: Annotated[list[Count], Field(min_length=1)] = Field([1, 4, 16], description="closed-loop levels")
    duration_s: Positive = Field(
        3.0, description="measured seconds of a closed-loop stage, all rounds together; a p99 needs 459 answers"
    )
    open_duration_s: Positive | None = Field(
        None,
        description=f"measured seconds of the open-loop stage, all rounds together; by default {SHORTEST_S:g}, and "
        f"longer, up to {LONGEST_S:g}, where its rate needs that for the {REQUESTS} requests that make it valid",
    )
    warmup_s: NotNegative = Field(0.5, description="excluded seconds before each stage's window")
    attempts: Count = Field(3, description="how often a stage may be measured until it was steady and sent on time")
    in_flight: Count = Field(64, description="most requests that the open loop keeps in flight")
    answers: Count = Field(
        64, description="answers kept per stage, round and load process, to be compared with the golden batch"
    )
    seed: Natural = Field(20240, description="what the seeds of schedule, payload choice and sampling are derived from")
    seeds: OwnSeeds = Field(OwnSeeds(), description="single ones of them, see below")
    rounds: Count = Field(
        2,
        description="how often all variants take their turn, a stage's time divided among them: drift hits all alike",
    )
    isolate: bool = Field(
        False, description="let Triton hold only the variant under test; what else it holds costs the one under test"
    )
    processes: Count = Field(1, description="load processes on this machine, each on a core of its own at best")
    max_rps: Positive | None = Field(
        None, description="never more requests per second; `--max-rps` says it for one run"
    )
    abort_error_rate: Annotated[Positive, Field(le=1)] | None = Field(
        None, description="end a stage when so many of its last 200 requests failed; 0.2 for hosts beyond this machine"
    )

    def open_seconds(self, rate: float | None) -> float:
        """Measured seconds, in all rounds, of an open-loop stage that states none; ``rate``: requests/s, if known."""
        if self.open_duration_s is not None:
            return self.open_duration_s
        needed = REQUESTS / rate if rate else SHORTEST_S
        return min(max(needed, SHORTEST_S), LONGEST_S)


class Affinity(Section):
    """Which cores the servers and the load generator may use; all of them when empty."""

    servers: list[Natural] = Field([], description="cores of every server that we start")
    load: list[Natural] = Field([], description="cores of the load generator")

    @model_validator(mode="after")
    def _apart(self) -> Affinity:
        both = sorted(set(self.servers) & set(self.load))
        if both:
            raise ValueError(f"servers and load share core {both[0]}; give each its own")
        return self
