"""What a configuration is worth, of machines whose worth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.batching import Batching
from contract.files import read_model
from contract.records import Stage, VariantPlan
from contract.search import FILE, Search
from loadtest.master.asking import Measured
from tests.known_capacity import ENDPOINT, FAST_MS, SLOW_MS, Machine
from tune.configuration.gauging import Question, Setting, gauge
from tune.scale.counting import Counting
from tune.scale.instances import Instances

VARIANT = VariantPlan(id="trial", endpoint=ENDPOINT, stages=[], repeat_of=None)


def machine(results: Path, capacity: float = 400.0) -> Machine:
    found = Machine(results, lambda batching: capacity * batching.instances)
    found.apply(Batching())
    return found


def setting(results: Path, **changes: Any) -> Setting:
    return replace(Setting("rate", results, in_flight=64), **changes)


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("expected", [None, 300.0, 1000.0])
def test_the_highest_rate_is_found_to_one_resolution(tmp_path: Path, confirmed: bool, expected: float | None) -> None:
    question = Question(VARIANT, expected=expected, confirmed=confirmed)
    loading = machine(tmp_path)
    worth = gauge(loading, question, setting(tmp_path))
    assert worth.outcome == "measured" and worth.value is not None
    assert 400 / 1.06 <= worth.value <= 400
    assert [stage.purpose for stage in loading.stages["trial"]].count("confirm") == confirmed
    assert (tmp_path / FILE).exists() is confirmed


def test_every_search_that_was_confirmed_is_kept_for_the_report(tmp_path: Path) -> None:
    loading = machine(tmp_path)
    for name in ("one", "other"):
        variant = VARIANT.model_copy(update={"id": name})
        gauge(loading, Question(variant, expected=380.0, confirmed=True), setting(tmp_path))
    search = read_model(tmp_path / FILE, Search, "tune")
    assert [found.variant for found in search.found] == ["one", "other"] and search.complete
    for found in search.found:
        assert found.confirmed is not None and found.value == loading.stages[found.variant][found.confirmed].rate
    assert search.seconds == pytest.approx(sum(found.seconds for found in search.found))


def test_a_rate_that_has_to_be_beaten_and_is_not_ends_the_search_at_once(tmp_path: Path) -> None:
    loading = machine(tmp_path)
    worth = gauge(loading, Question(VARIANT, least=410.0), setting(tmp_path))
    assert worth.outcome == "missed" and worth.value is None and "410/s missed" in worth.reason
    assert {stage.rate for stage in loading.stages["trial"]} == {410.0}


def test_a_rate_that_has_to_be_beaten_and_is_leads_to_the_highest(tmp_path: Path) -> None:
    worth = gauge(machine(tmp_path), Question(VARIANT, least=210.0), setting(tmp_path))
    assert worth.value is not None and 400 / 1.06 <= worth.value <= 400


def test_a_ceiling_is_never_exceeded(tmp_path: Path) -> None:
    loading = machine(tmp_path)
    worth = gauge(loading, Question(VARIANT), setting(tmp_path, max_rps=150.0))
    assert worth.value == 150.0
    assert max(stage.rate or 0.0 for stage in loading.stages["trial"]) == 150.0


@pytest.mark.parametrize(("at_rate", "p99"), [(None, FAST_MS), (300.0, FAST_MS), (500.0, SLOW_MS)])
def test_the_latency_at_a_rate_is_read_from_the_records(tmp_path: Path, at_rate: float | None, p99: float) -> None:
    loading = machine(tmp_path)
    worth = gauge(loading, Question(VARIANT), setting(tmp_path, objective="latency", at_rate=at_rate))
    assert worth.value == pytest.approx(p99)
    assert [stage.rate for stage in loading.stages["trial"]] == [at_rate or ENDPOINT.slo.rate]


class Busy(Machine):
    """The first ``spoiled`` windows are sent late; then ``failed`` requests of each fail."""

    spoiled = 0
    failed = 0

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
        seen = super().measure(variant_id, stage, early)
        late = seen.due // 2 if len(self.stages[variant_id]) <= self.spoiled else 0
        return replace(seen, late=late, failed=self.failed)


@pytest.mark.parametrize(("attempts", "told"), [(1, ""), (3, "measured 3 times, as the machine spoiled each: ")])
def test_a_search_that_the_load_generator_spoiled_says_nothing_of_the_configuration(
    tmp_path: Path, attempts: int, told: str
) -> None:
    loading = Busy(tmp_path, lambda batching: 400.0)
    loading.spoiled = 1000
    loading.apply(Batching())
    worth = gauge(loading, Question(VARIANT), setting(tmp_path, attempts=attempts))
    assert worth.outcome == "failed" and worth.value is None
    assert worth.reason.startswith(told) and "left late" in worth.reason and worth.reason.count("times") == bool(told)


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_search_that_was_spoiled_is_made_again_and_the_last_one_counts(tmp_path: Path, confirmed: bool) -> None:
    loading = Busy(tmp_path, lambda batching: 400.0)
    loading.spoiled = 4  # the closed loop, and as many probes as are made at one rate
    loading.apply(Batching())
    once = gauge(loading, Question(VARIANT), setting(tmp_path, attempts=1))
    assert once.outcome == "measured" and once.value is not None and once.value < 350
    assert once.reason == "it may be more: above it requests left late"
    other = VARIANT.model_copy(update={"id": "other"})
    worth = gauge(loading, Question(other, confirmed=confirmed), setting(tmp_path))
    assert worth.outcome == "measured" and worth.value is not None and 400 / 1.06 <= worth.value <= 400
    assert worth.reason == f"measured 2 times, as the machine spoiled the others: {once.reason}"
    assert [stage.purpose for stage in loading.stages["other"]].count("knee") == 2
    if confirmed:
        (kept,) = read_model(tmp_path / FILE, Search, "tune").found
        assert kept.value == worth.value and kept.limited_by == "server"


def test_a_search_that_was_spoiled_only_where_it_could_be_repeated_is_made_once(tmp_path: Path) -> None:
    loading = Busy(tmp_path, lambda batching: 400.0)
    loading.spoiled = 2
    loading.apply(Batching())
    worth = gauge(loading, Question(VARIANT), setting(tmp_path))
    assert worth.reason == "" and worth.value is not None and 400 / 1.06 <= worth.value <= 400


@pytest.mark.parametrize(
    ("spoiled", "failed", "outcome", "windows"),
    [(0, 0, "measured", 1), (1, 0, "measured", 2), (3, 0, "failed", 3), (0, 50, "missed", 1), (1, 50, "missed", 2)],
)
def test_a_window_that_the_machine_spoiled_is_measured_again(
    tmp_path: Path, spoiled: int, failed: int, outcome: str, windows: int
) -> None:
    loading = Busy(tmp_path, lambda batching: 400.0)
    loading.spoiled, loading.failed = spoiled, failed
    loading.apply(Batching())
    worth = gauge(loading, Question(VARIANT), setting(tmp_path, objective="latency", at_rate=300.0, attempts=3))
    assert worth.outcome == outcome and len(loading.stages["trial"]) == windows
    assert (f"measured {windows} times" in worth.reason) is (spoiled > 0)


def test_each_number_of_instances_is_loaded_and_measured_closed_and_open(tmp_path: Path) -> None:
    loading = machine(tmp_path)
    counting = Counting(loading, Instances(loading, ENDPOINT), setting(tmp_path), users=(1, 16))
    points = [counting.point(number) for number in (1, 2, 3)]
    assert [batching.instances for batching in loading.applied[1:]] == [1, 2, 3]
    for number, point in enumerate(points, 1):
        assert point.n == number and loading.endpoints[point.variant].configuration.instances == number
        assert point.closed_rps == 400.0 * number and point.users == 16
        assert point.p99_ms == pytest.approx(FAST_MS)
        assert point.max_rps is not None and 400 * number / 1.06 <= point.max_rps <= 400 * number
