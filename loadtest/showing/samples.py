"""The latencies of a stage that is still on: exact up to a million of them, to 1 % from there on, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from contract.statistics import order_statistic
from loadtest.showing.bins import Bins

MOST_EXACT = 1_000_000  # 8 MB, and a tenth of a second to sort


class Samples:
    """Milliseconds. All are counted in bins; their values are kept as long as there are few enough."""

    def __init__(self, most_exact: int = MOST_EXACT) -> None:
        self._most_exact = most_exact
        self._values: array[float] | None = array("d")  # None: there were too many
        self._bins = Bins()
        self.maximum = 0.0  # exact however many there are

    def add(self, values_ms: array[float]) -> None:
        """Take some more of them."""
        if not values_ms:
            return
        self._bins.add(values_ms)
        self.maximum = max(self.maximum, max(values_ms))
        if self._values is not None:
            self._values.extend(values_ms)
            if len(self._values) > self._most_exact:
                self._values = None

    @property
    def count(self) -> int:
        """How many there were."""
        return self._bins.count

    @property
    def exact(self) -> bool:
        """Whether ``percentiles`` are."""
        return self._values is not None

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """Order statistics, or the upper ends of their bins: at most 1 % too high. Sorts; needs a value."""
        if self._values is None:
            return self.rough_percentiles(shares)
        ordered = np.sort(np.array(self._values))
        return [order_statistic(ordered, share) for share in shares]

    def rough_percentiles(self, shares: Sequence[float]) -> list[float]:
        """To 1 %, without a sort: for who looks several times a second. Needs a value."""
        return self._bins.percentiles(shares)
