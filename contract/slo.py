"""[models.NAME.slo] of models.toml: what a service promises."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, model_validator

from contract.section import NotNegative, Positive, Section
from contract.statistics import PERCENTILES

DEFAULT_P99_MS = 50.0


class Slo(Section):
    """The objectives of a model, judged at `rate` with Poisson arrivals, from the intended send.

    Each percentile that is named is an objective; where none is, `p99_ms` is 50. The error rate is what remains of the
    availability: 0.001 promises 99.9 %.
    """

    rate: Positive = Field(200.0, description="requests per second that have to be served")
    p50_ms: Positive | None = Field(None, description="median latency at most, milliseconds")
    p90_ms: Positive | None = Field(None, description="90th percentile at most, milliseconds")
    p95_ms: Positive | None = Field(None, description="95th percentile at most, milliseconds")
    p99_ms: Positive | None = Field(None, description="99th percentile at most, milliseconds; 50 when none is named")
    p999_ms: Positive | None = Field(None, description="99.9th percentile at most, milliseconds")
    p9999_ms: Positive | None = Field(None, description="99.99th percentile at most, milliseconds")
    error_rate: Annotated[NotNegative, Field(lt=1)] = Field(0.001, description="largest share of failed requests")

    @property
    def latency_ms(self) -> dict[str, float]:
        """The objectives of latency: percentile (`p50` … `p9999`) -> milliseconds, lower percentiles first."""
        named = {name: getattr(self, f"{name}_ms") for name in PERCENTILES}
        return {name: limit for name, limit in named.items() if limit is not None}

    @property
    def tightest_ms(self) -> float:
        """The least of the latencies that are promised, milliseconds."""
        return min(self.latency_ms.values())

    def figures(self) -> dict[str, float]:
        """What is promised, by the keys of models.toml."""
        return {key: value for key, value in self.model_dump().items() if value is not None}

    @model_validator(mode="before")
    @classmethod
    def _some_latency(cls, data: Any) -> Any:
        if isinstance(data, dict) and all(data.get(f"{name}_ms") is None for name in PERCENTILES):
            return {**data, "p99_ms": DEFAULT_P99_MS}
        return data

    @model_validator(mode="after")
    def _ascending(self) -> Slo:
        for (lower, fast), (higher, slow) in pairwise(self.latency_ms.items()):
            if slow < fast:
                raise ValueError(
                    f"{higher}_ms is {slow:g} and {lower}_ms is {fast:g}: a higher percentile is never the lower one"
                )
        return self
