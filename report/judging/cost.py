"""What a million inferences cost under the objectives, and how many machines a demand takes. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from contract.endpoints import Endpoint
from contract.hosts import beyond_loopback
from contract.prices import Price
from contract.verdict import SloResult
from report.words import number, plain

NO_PRICE = "no price table is configured, and this machine was not declared to be the instance that is priced"
NOT_SOUGHT = "the highest rate under the objectives was not sought (make slo)"
EMBEDDED = "the embedded server is not what a deployment would run"
UNCONFIRMED = "no rate was confirmed under the objectives"


@dataclass(frozen=True)
class Basis:
    """What a cost is computed from, beside the rate."""

    price: Price | None  # of the machine that serves, if somebody said which it is
    sought: bool  # the rate is the highest one, not one that was set
    rows: float  # inferences per request
    shared: bool  # the load generator ran on the machine that served


def priced(slo: SloResult, endpoint: Endpoint, basis: Basis) -> SloResult:
    """The result with its cost per million inferences, or with the reason why there is none."""
    missing = _missing(slo.max_rps.value, endpoint, basis)
    if missing or basis.price is None or slo.max_rps.value is None:
        return slo.model_copy(update={"cost_reason": missing})
    price, rate = basis.price, slo.max_rps.value
    cost = per_million(price.per_hour, rate * basis.rows)
    each = "" if basis.rows == 1 else f" of {number(basis.rows)} inferences each"
    how = f"{plain(price.per_hour)} {price.currency} per hour of {price.instance} at {number(rate)} requests/s{each}"
    if basis.shared:
        how += "; the load generator ran on the same machine, so this is an upper bound"
    return slo.model_copy(update={"cost_per_million": cost, "currency": price.currency, "cost_reason": how})


def _missing(rate: float | None, endpoint: Endpoint, basis: Basis) -> str:
    """Why there is no cost, the first reason that holds; empty where there is one."""
    if basis.price is None:
        return NO_PRICE
    elsewhere = f"it is served by {endpoint.address}, not by this machine, which is the {basis.price.instance}"
    reasons = (
        (endpoint.engine_kind == "embedded", EMBEDDED),
        (beyond_loopback(endpoint.address), elsewhere),
        (not basis.sought, NOT_SOUGHT),
        (rate is None, UNCONFIRMED),
    )
    return next((reason for holds, reason in reasons if holds), "")


def per_million(per_hour: float, inferences_per_s: float) -> float:
    """Of a machine that is never idle: price of an hour over the inferences of an hour, times a million."""
    return per_hour / 3600 / inferences_per_s * 1e6


def machines(demand_rps: float, rate_rps: float) -> int:
    """How many machines it takes when each holds ``rate_rps``."""
    return math.ceil(demand_rps / rate_rps)


def break_even(a_rps: float, b_rps: float) -> float | None:
    """The demand above which the two need different numbers of machines for the first time; None for equal rates.

    Up to the lower of the two rates one machine is enough of either.
    """
    return None if a_rps == b_rps else min(a_rps, b_rps)


def always_fewer(a_rps: float, b_rps: float) -> float | None:
    """The demand above which the faster one needs fewer machines whatever the demand; None for equal rates.

    k machines of either are enough for some demand as long as (k - 1) * faster < k * slower. The largest such k is
    the last number of machines that can be the same.
    """
    if a_rps == b_rps:
        return None
    faster, slower = max(a_rps, b_rps), min(a_rps, b_rps)
    k = math.ceil(faster / (faster - slower)) - 1
    return k * slower
