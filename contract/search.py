"""results/<id>/search.json: how the highest rate that keeps the objectives was sought, by variant.

Every probe and every confirmation is a stage of the plan with records of its own, so each can be judged again.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.manifest import Entry

FILE = "search.json"

Outcome = Literal["kept", "missed", "unclear"]
Limit = Literal["server", "load generator", "answers", "range", ""]


class Probe(Entry):
    """One rate that was tried. A probe only steers the search; the confirmation carries the claim."""

    stage: int = Field(description="index into the variant's stages")
    purpose: Literal["probe", "confirm"] = Field(description="as in the stage")
    rate: float = Field(description="requests per second, Poisson arrivals")
    outcome: Outcome = Field(description="`unclear`: the load generator or the machine spoiled it")
    reason: str = Field(description="in words, e.g. `2.3 % above 50 ms, 1 % allowed`")
    cut: Literal["", "hopeless", "clear"] = Field("", description="why it ended before its time")
    seconds: float = Field(description="that it took, warm-up and drain included")


class Found(Entry):
    """The result for one variant."""

    variant: str = Field(description="id of the variant, `__again` appended for the repeat (A/A)")
    knee_rps: float | None = Field(description="most answers per second of the closed loop that the search began from")
    probes: list[Probe] = Field(description="in order, confirmations among them")
    confirmed: int | None = Field(
        description="index into the variant's stages: the confirmation that was kept; three may be needed, so each has "
        "to hold at a third of the error probability"
    )
    value: float | None = Field(description="the confirmed rate, requests per second; null when none was")
    high: float | None = Field(description="the lowest rate that was missed, or null when none was")
    limited_by: Limit = Field(
        description="what ended the search above `value`: `answers` are too many failed requests, `range` a limit of "
        "its own (`--max-rps`, far beyond the knee) or that it gave up with no rate confirmed; empty when cut short"
    )
    reason: str = Field("", description="why the server could not be measured any more; empty where it could")
    seconds: float = Field(description="that the search took")


class Search(Entry):
    """results/<id>/search.json."""

    schema_version: Literal[1]
    resolution: float = Field(description="relative distance of the last kept and the first missed rate, at most")
    probe_s: float = Field(description="longest window of a probe, seconds")
    confirm_s: float = Field(
        description="shortest window of a confirmation, seconds; longer where a low rate needs it for a claim"
    )
    complete: bool = Field(description="false when it was interrupted")
    found: list[Found] = Field(description="by variant")
    seconds: float = Field(description="wall time of all of it")
    grid_seconds: float = Field(
        description="what a grid of the same range, resolution and windows would have taken, by computation"
    )

    def of(self, variant: str) -> Found | None:
        """What was found for one variant."""
        return next((item for item in self.found if item.variant == variant), None)
