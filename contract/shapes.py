"""Load shapes: what a stage of a plan asks of the load generator. Rates are requests per second, times seconds.

A closed loop has users that wait for their answer. An open loop has arrivals: a rate that is a pure function of the
time since the window's start, and how the arrivals are spread around it. `loadtest/plan/arrivals.py` makes the
schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.section import Count, NotNegative, Positive, Section

Rate = NotNegative
Arrivals = Literal["poisson", "constant"]


class Payloads(Section):
    """Which requests a stage sends; the golden batch's single requests when nothing is said."""

    file: Path | None = Field(None, description="`.npz` of real requests, as `examples`; judged by form only")
    rows: list[Count] | None = Field(None, description="batch sizes, drawn uniformly: single requests are joined")
    length: tuple[Count, Count] | None = Field(
        None, description="least and greatest length, drawn uniformly: requests are cut and repeated along `axis`"
    )
    axis: str | None = Field(None, description="the dynamic axis of `length`; needed where there are several")

    @model_validator(mode="after")
    def _ascending(self) -> Payloads:
        if self.length and self.length[0] > self.length[1]:
            raise ValueError(f"length goes from {self.length[0]} to {self.length[1]}; put the smaller one first")
        return self


class Timing(Section):
    """What every stage has; what is absent comes from `[load]`."""

    duration_s: Positive | None = Field(None, description="measured seconds")
    warmup_s: NotNegative | None = Field(None, description="excluded seconds before the window")
    payloads: Payloads = Field(Payloads(), description="see below")


class Closed(Timing):
    """Users that wait for their answer before they send the next request."""

    shape: Literal["closed"] = Field(description="which shape this is")
    users: Count = Field(description="users")


class Open(Timing):
    """Arrivals that do not wait for anything."""

    arrivals: Arrivals = Field("poisson", description="how arrivals are spread around the rate")
    in_flight: Count | None = Field(None, description="most requests in flight")


class Steady(Open):
    """One rate."""

    shape: Literal["steady"] = Field(description="which shape this is")
    rate: Positive | None = Field(None, description="requests per second; the rate of the model's SLO when absent")
    of_maximum: Positive | None = Field(
        None, description="the rate as a multiple of the most that an earlier closed stage of the plan got answered"
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Steady:
        if self.rate is not None and self.of_maximum is not None:
            raise ValueError("rate and of_maximum both say how fast; keep one of them")
        return self


class Ramp(Open):
    """From one rate to another, evenly over the stage."""

    shape: Literal["ramp"] = Field(description="which shape this is")
    rate: Rate = Field(description="at the beginning")
    to: Rate = Field(description="at the end")

    @model_validator(mode="after")
    def _somewhere(self) -> Ramp:
        if self.rate == self.to == 0:
            raise ValueError("a ramp from 0 to 0 sends nothing")
        return self


class Step(Open):
    """One rate after the other, each for the same part of the stage."""

    shape: Literal["step"] = Field(description="which shape this is")
    rates: Annotated[list[Positive], Field(min_length=2)] = Field(description="in their order")


class Spike(Open):
    """A rate, and a higher one for a while."""

    shape: Literal["spike"] = Field(description="which shape this is")
    rate: Positive = Field(description="before and after")
    peak: Positive = Field(description="during the spike")
    begin_s: NotNegative = Field(description="when the spike begins, since the window's start")
    length_s: Positive = Field(description="how long it lasts")


class Sine(Open):
    """A day's curve: the rate swings around its mean, beginning at the mean and rising."""

    shape: Literal["sine"] = Field(description="which shape this is")
    rate: Positive = Field(description="the mean")
    amplitude: Positive = Field(description="how far it swings")
    period_s: Positive = Field(description="of one swing")

    @model_validator(mode="after")
    def _not_below_nothing(self) -> Sine:
        if self.amplitude > self.rate:
            raise ValueError(f"amplitude {self.amplitude:g} is more than rate {self.rate:g}: rates would be negative")
        return self


class Trace(Timing):
    """Arrivals as they were once recorded."""

    shape: Literal["trace"] = Field(description="which shape this is")
    in_flight: Count | None = Field(None, description="most requests in flight")
    arrivals: Literal["recorded"] = Field("recorded", description="the file's own times")
    file: Path = Field(description="one arrival per line: seconds, and optionally a comma and the key of its request")
    speed: Positive = Field(1.0, description="2 replays it in half the time")


Opened = Steady | Ramp | Step | Spike | Sine | Trace
Shape = Annotated[Closed | Opened, Field(discriminator="shape")]


class LoadPlan(Section):
    """A plan of its own: `python -m loadtest --plan NAME`."""

    stages: Annotated[list[Shape], Field(min_length=1)] = Field(description="in their order")
    rounds: Count | None = Field(None, description="as in `[load]`")

    def rooted(self, folder: Path) -> LoadPlan:
        """The same plan, its files looked for below ``folder``."""
        return self.model_copy(update={"stages": [_rooted(stage, folder) for stage in self.stages]})


def _rooted(stage: Shape, folder: Path) -> Shape:
    update: dict[str, object] = {}
    if stage.payloads.file is not None:
        update["payloads"] = stage.payloads.model_copy(update={"file": folder / stage.payloads.file})
    if isinstance(stage, Trace):
        update["file"] = folder / stage.file
    return stage.model_copy(update=update)


# Plans that every models.toml has; one of the same name in the file takes the place of these.
SOAK = LoadPlan(stages=[Steady(shape="steady", duration_s=1800, warmup_s=5)], rounds=1)
OVERLOAD = LoadPlan(
    stages=[
        Closed(shape="closed", users=16, duration_s=5),
        Closed(shape="closed", users=64, duration_s=5),
        Steady(shape="steady", of_maximum=0.5, duration_s=5),
        Steady(shape="steady", of_maximum=1.5, duration_s=10, in_flight=512),
        Steady(shape="steady", of_maximum=0.5, duration_s=10, warmup_s=0),
    ],
    rounds=1,
)
# A grid of batch sizes and users, whose winners differ; and the open loop, without which nothing is ranked.
MAP = LoadPlan(
    stages=[
        *(
            Closed(shape="closed", users=users, duration_s=2, payloads=Payloads(rows=[rows]))
            for rows in (1, 8, 32)
            for users in (1, 4, 16, 64)
        ),
        Steady(shape="steady"),
    ],
    rounds=1,
)
BUILT_IN = {"soak": SOAK, "overload": OVERLOAD, "map": MAP}
