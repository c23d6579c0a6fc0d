"""What may be put under load, and when to stop: other people's servers are not ours to hurt. Pure decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from contract.errors import UsageError
from contract.hosts import beyond_loopback, first_foreign, host_of

FEWEST_SEEN = 50  # requests before an error rate means anything
ALLOW_HOST = "--allow-host {host}"


def refuse_foreign(addresses: Iterable[str], allowed_hosts: Iterable[str], leave: str = ALLOW_HOST) -> None:
    """Raises UsageError for the first address beyond loopback whose host nobody allowed; ``leave`` says how to."""
    address = first_foreign(addresses, allowed_hosts)
    if address is not None:
        raise UsageError(
            f"{address} is beyond this machine, and load is an attack where nobody expects it; "
            f"if you may put it under load, say so with {leave.format(host=host_of(address))}"
        )


def refuse_unbounded(addresses: Iterable[str], max_rps: float | None, leave: str = "--max-rps") -> None:
    """Raises UsageError for the first address beyond loopback where nobody set a ceiling (requests per second).

    ``leave`` is what a person says to set it.
    """
    away = next(filter(beyond_loopback, addresses), None)
    if away is not None and max_rps is None:
        raise UsageError(f"{away} is beyond this machine: say with {leave} how many requests per second it may get")


def refuse_rates(rates: Mapping[str, float], max_rps: float | None) -> None:
    """Raises UsageError for the first stage (name -> most requests per second that it plans) above the ceiling."""
    if max_rps is None:
        return
    for stage, rate in rates.items():
        if rate > max_rps:
            raise UsageError(
                f"the stage '{stage}' plans {rate:g} requests per second, the ceiling is {max_rps:g}; "
                "lower the rate of its model's slo or of its shape (of a trace, whose busiest second counts, its "
                "speed), or raise --max-rps"
            )


class Abort:
    """Tells when a stage must stop: more than ``most`` of its last ``window`` requests failed.

    The first ``window`` requests are waited for, so that one early failure stops nothing. Costs well under a
    microsecond per request, because it is asked for each.
    """

    def __init__(self, most: float, window: int = 200) -> None:
        if not 0 <= most <= 1:
            raise UsageError(f"abort_error_rate is {most:g}; it is a share, from 0 to 1")
        if window < FEWEST_SEEN:
            raise UsageError(f"an error rate over {window} requests means nothing; take at least {FEWEST_SEEN}")
        self._last: deque[bool] = deque([False] * window, maxlen=window)
        self._most = most * window
        self._failed = 0
        self._unseen = window

    def seen(self, error: bool) -> bool:
        """Note how one request ended; whether the stage must stop."""
        self._failed += error - self._last[0]
        self._last.append(error)
        if self._unseen > 1:
            self._unseen -= 1
            return False
        return self._failed > self._most
