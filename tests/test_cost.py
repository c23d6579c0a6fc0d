"""What a million inferences cost under the objectives, and how many machines a demand takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contract.endpoints import Endpoint
from contract.prices import Price
from contract.verdict import MaxRate, SloResult
from report.judging.cost import Basis, always_fewer, break_even, machines, per_million, priced
from tests.builders import endpoint

PRICE = Price(instance="g4dn.xlarge", per_hour=0.54)
BASIS = Basis(price=PRICE, sought=True, rows=1.0, shared=False)


def slo(rate: float | None) -> SloResult:
    return SloResult(
        passed=rate is not None,
        max_rps=MaxRate(value=rate, low=rate, high=None, limited_by="server"),
        cost_per_million=None,
        cost_reason="",
        reasons=[],
    )


def cost(rate: float | None = 450.0, at: Endpoint | None = None, **changes: Any) -> SloResult:
    return priced(slo(rate), at or endpoint(), replace(BASIS, **changes))


def test_a_t4_at_54_cents_and_450_requests_per_second_costs_33_cents() -> None:
    found = cost()
    assert found.cost_per_million == pytest.approx(0.3333, abs=1e-4)
    assert found.currency == "USD"
    assert found.cost_reason == "0.54 USD per hour of g4dn.xlarge at 450 requests/s"


def test_inferences_are_rows_and_not_requests() -> None:
    found = cost(rows=8.0)
    assert found.cost_per_million == pytest.approx(0.3333 / 8, abs=1e-5)
    assert "450 requests/s of 8.00 inferences each" in found.cost_reason


def test_a_load_generator_on_the_same_machine_makes_it_an_upper_bound() -> None:
    found = cost(shared=True)
    assert found.cost_per_million == cost(shared=False).cost_per_million
    assert "so this is an upper bound" in found.cost_reason
    assert "upper bound" not in cost(shared=False).cost_reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": None}, "no price table is configured"),
        ({"sought": False}, "was not sought (make slo)"),
        ({"rate": None}, "no rate was confirmed"),
        ({"at": endpoint(engine_kind="embedded")}, "not what a deployment would run"),
        ({"at": endpoint(address="10.0.0.5:8000")}, "it is served by 10.0.0.5:8000, not by this machine"),
    ],
)
def test_there_is_no_cost_unless_the_priced_machine_was_measured_under_the_objectives(
    changes: dict[str, Any], reason: str
) -> None:
    found = cost(**changes)
    assert (found.cost_per_million, found.currency) == (None, None)
    assert reason in found.cost_reason


def test_an_hour_of_full_load_costs_the_price_of_an_hour() -> None:
    assert per_million(3.0, 250.0) * 250.0 * 3600 / 1e6 == pytest.approx(3.0)


@pytest.mark.parametrize(("a", "b"), [(100, 90), (90, 100), (340, 280), (1000, 999), (100, 50), (100, 30)])
def test_break_even_is_where_the_numbers_of_machines_begin_to_differ(a: int, b: int) -> None:
    first, always = break_even(a, b), always_fewer(a, b)
    assert first is not None
    assert always is not None
    faster, slower = max(a, b), min(a, b)
    fewer = [
        demand for demand in range(1, 2 * int(always) + 100) if machines(demand, faster) < machines(demand, slower)
    ]
    alike = [
        demand for demand in range(1, 2 * int(always) + 100) if machines(demand, faster) == machines(demand, slower)
    ]
    assert min(fewer) == first + 1
    assert max(alike) == always


def test_equal_rates_never_break_even() -> None:
    assert break_even(100.0, 100.0) is None
    assert always_fewer(100.0, 100.0) is None
