"""What a load process and its master keep of a stage's latencies while it is on: little, however long it takes."""

from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from contract.records import Stage, VariantPlan
from contract.slo import Slo
from contract.statistics import order_statistic
from loadtest.showing.page import Page
from loadtest.showing.samples import MOST_EXACT, Samples
from tests.builders import endpoint
from tests.test_load_page import Stats

MIB = 2**20
SOAK = Stage(name="open-100", mode="open", concurrency=None, rate=100, duration_s=1, warmup_s=0, in_flight=9)
SHARES = [0.5, 0.95, 0.99, 0.999]


def page_of(reports: bool = True) -> Page:
    page = Page(Stats(), reports)
    item = endpoint(slo=Slo(rate=100, p99_ms=20, error_rate=0.01))
    page.enter(VariantPlan(id=item.id, endpoint=item, stages=[SOAK], repeat_of=None), SOAK)
    return page


def drawn(number: int, seed: int = 7) -> array[float]:
    return array("d", np.random.default_rng(seed).exponential(5.0, number).tobytes())


@dataclass
class Grown:
    """What Python's allocator gave and did not get back, MiB; known after the block."""

    mib: float = 0.0


@contextmanager
def growth() -> Iterator[Grown]:
    grown = Grown()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield grown
        grown.mib = (tracemalloc.get_traced_memory()[0] - before) / MIB
    finally:
        tracemalloc.stop()


def test_a_masters_page_keeps_no_more_of_ten_million_answers_than_of_one() -> None:
    page, chunk = page_of(reports=False), drawn(100_000).tobytes()
    with growth() as grown:
        for _ in range(100):
            page.hear({"latencies_ms": chunk})
    assert "<td>good answers</td><td>10,000,000</td>" in page.html()
    assert grown.mib < 1, f"{grown.mib:.1f} MiB"


@pytest.mark.parametrize("reports", [True, False], ids=["tells its master", "is alone"])
def test_a_load_process_keeps_none_of_its_answers_for_ever(monkeypatch: pytest.MonkeyPatch, reports: bool) -> None:
    monkeypatch.setattr("loadtest.showing.page.Samples", lambda: Samples(most_exact=1000))
    page = page_of(reports)

    def answers(rounds: int) -> None:
        for _ in range(rounds):
            for _ in range(5000):
                page.tell("open-100", 5.0, 1, "", False)
            page.flush()
            if reports:
                page.report({})

    answers(1)
    with growth() as grown:
        answers(40)
    assert grown.mib < 0.4, f"{grown.mib:.2f} MiB of 200,000 answers, whose values alone are 1.5"


def test_percentiles_are_exact_up_to_a_million_answers_and_to_one_per_cent_beyond() -> None:
    assert MOST_EXACT == 1_000_000
    samples, values = Samples(most_exact=2000), drawn(3000)
    samples.add(values[:2000])
    true = [order_statistic(np.sort(values[:2000]), share) for share in SHARES]
    assert (samples.exact, samples.percentiles(SHARES)) == (True, true)
    samples.add(values[2000:])
    assert (samples.exact, samples.count, samples.maximum) == (False, 3000, max(values))
    for share, said in zip(SHARES, samples.percentiles(SHARES), strict=True):
        exact = order_statistic(np.sort(values), share)
        assert exact <= said <= 1.0101 * exact, share


def test_the_page_says_how_exact_its_percentiles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.showing.page.Samples", lambda: Samples(most_exact=100))
    page = page_of()
    page.hear({"latencies_ms": drawn(100).tobytes()})
    assert "Exact percentiles of the stage so far" in page.html()
    page.hear({"latencies_ms": drawn(1).tobytes()})
    assert "Exact percentiles" not in page.html()
    assert "Percentiles to 1 % (there are more answers than are kept) of the stage so far" in page.html()
