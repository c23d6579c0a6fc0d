"""Who may be put under load, how hard, and when it has to stop."""

from __future__ import annotations

import timeit

import pytest

from contract.errors import UsageError
from contract.hosts import beyond_loopback
from loadtest.plan.admission import Abort, refuse_foreign, refuse_rates


@pytest.mark.parametrize(
    ("address", "beyond"),
    [
        ("127.0.0.1:8000", False),
        ("127.9.9.9:8000", False),
        ("[::1]:8001", False),
        ("localhost:8000", False),
        ("LOCALHOST.:8000", False),
        ("10.0.0.7:8000", True),
        ("0.0.0.0:8000", True),
        ("[2001:db8::1]:8001", True),
        ("models.example.com:443", True),
        ("localhost.example.com:443", True),
    ],
)
def test_only_loopback_is_this_machine(address: str, beyond: bool) -> None:
    assert beyond_loopback(address) is beyond


def test_a_foreign_host_is_refused_with_the_flag_that_allows_it() -> None:
    with pytest.raises(UsageError, match=r"models\.example\.com:443 is beyond .* --allow-host models\.example\.com$"):
        refuse_foreign(["127.0.0.1:8000", "models.example.com:443"], [])


def test_allowing_one_host_allows_no_other() -> None:
    refuse_foreign(["Models.example.com:443", "[2001:db8::1]:8001"], ["models.EXAMPLE.com", "2001:db8::1"])
    with pytest.raises(UsageError, match=r"other\.example\.com"):
        refuse_foreign(["models.example.com:443", "other.example.com:443"], ["models.example.com"])


def test_a_stage_above_the_ceiling_is_refused_by_name() -> None:
    refuse_rates({"open-100": 100.0}, None)
    refuse_rates({"open-100": 100.0}, 100.0)
    with pytest.raises(UsageError, match=r"'spike' plans 500 requests per second, the ceiling is 200; .*--max-rps"):
        refuse_rates({"open-100": 100.0, "spike": 500.0}, 200.0)


def stops_after(abort: Abort, errors: list[bool]) -> int | None:
    """How many requests were sent when it said stop; None where it never did."""
    return next((number for number, error in enumerate(errors, 1) if abort.seen(error)), None)


@pytest.mark.parametrize(
    ("errors", "stopped"),
    [
        ([True] * 200, 100),  # a dead server, as soon as enough was seen
        ([True] + [False] * 300, None),  # one early failure
        ([False] * 1000 + [True] * 11, 1011),  # more than a tenth of the last hundred
        ([False] * 1000 + [True] * 10 + [False] * 500, None),  # a tenth, and no more
        ([True, *[False] * 9] * 100, None),
        (([True] * 5 + [False] * 95) * 20, None),
        (([True] * 5 + [False] * 95) * 20 + [True] * 11, 2011),
    ],
)
def test_a_stage_stops_when_more_than_the_given_share_of_the_last_requests_failed(
    errors: list[bool], stopped: int | None
) -> None:
    assert stops_after(Abort(0.1, window=100), errors) == stopped


def test_a_limit_of_one_never_stops_and_a_limit_of_zero_stops_at_the_first_failure_of_a_full_window() -> None:
    assert stops_after(Abort(1.0, window=50), [True] * 500) is None
    assert stops_after(Abort(0.0, window=50), [False] * 60 + [True]) == 61


@pytest.mark.parametrize(("most", "window", "words"), [(1.5, 100, "from 0 to 1"), (0.1, 20, "at least 50")])
def test_a_rule_that_means_nothing_is_refused(most: float, window: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Abort(most, window)


def test_asking_costs_less_than_a_microsecond() -> None:
    abort = Abort(0.5)
    assert min(timeit.repeat(lambda: abort.seen(False), number=10_000, repeat=9)) / 10_000 < 1e-6
