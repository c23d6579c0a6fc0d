"""What users of somebody's own Locust file may do to their host: a ceiling of their rate, and an end where it fails."""

from __future__ import annotations

import time

from contract.errors import UsageError
from loadtest.plan.admission import Abort
from loadtest.process.punctual import sleep_until


class Restraint:
    """Of all users of one class in one load process, together.

    ``max_rps``: requests per second, None without a ceiling. ``most_errors``: share of the last 200 requests that may
    fail, None where it does not matter. Raises UsageError for what is no rate or no share.
    """

    def __init__(self, max_rps: float | None, most_errors: float | None) -> None:
        if max_rps is not None and max_rps <= 0:
            raise UsageError(f"max_rps is {max_rps:g}; it is a rate above 0")
        self._interval_ns = int(1e9 / max_rps) if max_rps else 0
        self._abort = None if most_errors is None else Abort(most_errors)
        self._next_ns = 0  # when the next request may be sent (CLOCK_MONOTONIC)

    def wait(self) -> None:
        """Until it is this request's turn: turns are an interval apart, and what was not used is not made up for."""
        if self._interval_ns:
            turn_ns = max(time.monotonic_ns(), self._next_ns)
            self._next_ns = turn_ns + self._interval_ns
            sleep_until(turn_ns)

    def seen(self, error: bool) -> bool:
        """Note how one request ended; whether the run must end."""
        return self._abort is not None and self._abort.seen(error)
