"""How long searches take, and windows that fit into the time there is. Pure; seconds."""

from __future__ import annotations

from contract.errors import UsageError
from tune.search.method import DEAD_S, Method

# What a search takes as a rule, of the simulated servers in tests/test_tune_search_simulated.py and of real ones: short
# probes (of them many are cut), and confirmations, for the first one may miss.
PROBES = 6
CONFIRMATIONS = 1.3


def expected_seconds(method: Method, searches: int) -> float:
    """About how long so many searches take, at rates where the shortest windows are long enough."""
    beside = method.warmup_s + DEAD_S
    short = (len(method.users) + PROBES) * (method.shortest_s + beside)
    return searches * (short + method.probe_s + beside + CONFIRMATIONS * (method.confirm_s + beside))


def fitting(method: Method, searches: int, budget_s: float | None) -> Method:
    """The method with windows so short that the searches fit. Raises UsageError where none are short enough."""
    if budget_s is None or expected_seconds(method, searches) <= budget_s:
        return method
    least = expected_seconds(method.shrunk(0.0), searches)
    if least > budget_s:
        raise UsageError(
            f"--budget-s {budget_s:g} is too short: to search all that is named takes about {least:.0f} s at least; "
            "allow more, or name fewer endpoints with --variant"
        )
    low, high = 0.0, 1.0  # shares of the windows: fits, does not fit
    for _ in range(20):
        middle = (low + high) / 2
        fits = expected_seconds(method.shrunk(middle), searches) <= budget_s
        low, high = (middle, high) if fits else (low, middle)
    return method.shrunk(low)
