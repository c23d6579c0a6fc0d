"""[[prices]] of models.toml: what the machines cost on which models may be served."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.section import Positive, Section


class Price(Section):
    """One kind of machine and its price; yours, for prices differ by region, contract and day."""

    instance: Annotated[str, Field(min_length=1)] = Field(description="its name, as `measured_on` says it")
    per_hour: Positive = Field(description="what an hour of it costs, in `currency`")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = Field("USD", description="three letters, ISO 4217")
