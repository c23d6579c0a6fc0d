"""From the files of a search to its report: only what was confirmed counts, on the records of the confirmation."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contract.errors import UsageError
from contract.files import write_bytes
from contract.prices import Price
from report.recommending import recommend
from tests.builders import confirm_stage, found, probe, probe_stage, search
from tests.report_runs import Run, embedded, real

PRICE = Price(instance="c6i.large", per_hour=0.085)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "20260131-120000"
    folder.mkdir()
    return Run(folder)


def test_a_search_is_judged_by_the_rates_that_were_confirmed(run: Run) -> None:
    fast = run.sought(real(), 800.0)
    slow = run.sought(real(format="torchscript"), 400.0)
    again = run.sought(real(), 800.0, repeat_of=fast.variant)
    report = run.report(search(fast, slow, again))
    assert report.search is not None
    assert report.sentence == (
        "PASS: every model (words up to 800 requests/s) has a variant that keeps its objectives."
    )
    assert [(item.slo.max_rps.value, item.slo.max_rps.high) for item in report.variants] == [(800, 832), (400, 416)]
    assert [stage.purpose for stage in report.variants[0].stages] == ["probe", "confirm"]
    assert report.winners[0].variant == fast.variant
    assert report.advice["words"].startswith("words: serve it as onnx on triton (real, cpu) over http")
    assert ": 800 requests/s at p99 <= 50 ms. Claimed at 99 % confidence from 1,000 requests" in report.advice["words"]
    assert "torchscript on Triton, HTTP: slower by 50 % (400 requests/s)." in report.advice["words"]


def test_the_highest_rate_is_recommended_with_its_rate_and_p99(run: Run) -> None:
    slower_but_faster_at_its_rate = run.sought(real(), 400.0, 5.0)
    report = run.report(search(slower_but_faster_at_its_rate, run.sought(real(format="torchscript"), 800.0, 20.0)))
    found = recommend(report)
    words = found.models["words"]
    assert (words.variant, words.max_rps) == ("words__torchscript__triton__http", 800.0)
    assert words.p99_ms == pytest.approx(21.8, abs=0.2)


def test_a_recommendation_without_a_search_is_as_it_was(run: Run) -> None:
    run.add(real())
    words = recommend(run.report()).models["words"]
    assert (words.variant, words.max_rps) == ("words__onnx__triton__http", 200.0)


def test_only_the_confirmation_is_judged_and_no_probe(run: Run) -> None:
    item = real()
    stages = [probe_stage(800.0, 1.25), confirm_stage(400.0, 2.5)]
    run.add(item, 60.0, planned=stages, stages=1)
    report = run.report(search(found(item.id, None, high=800.0, probes=[probe(0, 800.0, "missed")])))
    assert report.variants[0].slo.passed is None
    assert report.verdict == "INVALID"
    assert report.winners == []


def test_a_confirmation_that_misses_on_its_records_confirms_nothing(run: Run) -> None:
    report = run.report(search(run.sought(real(), 200.0, 60.0)))
    (item,) = report.variants
    assert (item.slo.max_rps.value, item.slo.passed, item.rankable) == (None, False, True)
    assert (report.verdict, report.winners) == ("FAIL", [])
    assert report.advice["words"].startswith("words: no variant keeps its objectives")


def test_a_search_that_gave_up_below_the_promised_rate_fails(run: Run) -> None:
    given_up = run.sought(real(), None).model_copy(
        update={"high": 10.0, "limited_by": "range", "probes": [probe(0, 10.0, "missed")]}
    )
    report = run.report(search(given_up))
    assert report.variants[0].rankable
    assert report.verdict == "FAIL"


def test_what_the_load_generator_could_not_reach_carries_no_verdict(run: Run) -> None:
    report = run.report(
        search(run.sought(real(), 150.0).model_copy(update={"limited_by": "load generator", "high": None}))
    )
    assert not report.variants[0].rankable
    assert report.verdict == "INVALID"
    assert "the load generator was the limit, not the server" in "; ".join(report.variants[0].not_ranked_because)


def test_the_noise_of_a_search_is_the_difference_of_its_two_answers(run: Run) -> None:
    first = run.sought(real(), 400.0)
    again = run.sought(real(), 440.0, repeat_of=first.variant)
    other = run.sought(real(format="torchscript"), 370.0)
    report = run.report(search(first, again, other))
    assert [item.id for item in report.variants] == [first.variant, other.variant]
    assert report.noise.max_rps_relative == pytest.approx(40 / 420, abs=1e-4)
    assert report.noise.p99_relative is None
    assert report.winners[0].tied == [first.variant, other.variant]


def test_a_search_that_sought_nothing_twice_says_so(run: Run) -> None:
    assert run.report(search(run.sought(real(), 400.0))).noise.reason == "no rate was sought twice"


def test_an_embedded_server_is_never_ranked_by_its_rate_either(run: Run) -> None:
    report = run.report(search(run.sought(embedded(), 9000.0), run.sought(real(), 400.0)))
    assert [winner.variant for winner in report.winners] == ["words__onnx__triton__http"]
    assert "savedmodel on Triton (embedded), gRPC: embedded" in report.advice["words"]


def test_an_interrupted_search_is_warned_of(run: Run) -> None:
    first = run.sought(real(), 400.0)
    second = run.sought(real(format="torchscript"), None).model_copy(update={"limited_by": "", "probes": []})
    report = run.report(search(first, second, complete=False))
    assert report.warnings[0] == (
        "The search was interrupted: 1 of 2 variants had met their limit. "
        "Of the others a rate may be too low or missing."
    )
    assert not report.variants[1].rankable
    assert not any("interrupted" in text for text in run.report(search(first, second)).warnings)


def test_a_declared_price_and_a_found_rate_make_a_cost(run: Run) -> None:
    found = run.sought(real(), 400.0)
    slo = run.report(search(found), price=PRICE).variants[0].slo
    assert slo.cost_per_million == pytest.approx(0.085 / 3600 / 400 * 1e6)
    assert slo.currency == "USD"
    assert "upper bound" in slo.cost_reason  # the load generator ran on the same machine
    assert run.report(search(found)).variants[0].slo.cost_per_million is None


def test_inferences_of_a_batch_are_counted_one_by_one(run: Run) -> None:
    stages = [probe_stage(400.0, 2.5), confirm_stage(400.0, 2.5).model_copy(update={"payloads": "rows-8"})]
    item = run.add(real(), planned=stages)
    path = next(run.folder.glob("requests-*-00001.parquet"))
    table = pq.read_table(path)
    eight = pa.array([8] * len(table), pa.int32())
    pq.write_table(table.set_column(table.schema.get_field_index("rows"), "rows", eight), path)
    report = run.report(search(found(item.id, 400.0)), price=PRICE)
    assert report.variants[0].stages[1].payloads == "rows-8"
    assert report.variants[0].slo.cost_per_million == pytest.approx(0.085 / 3600 / 3200 * 1e6)


def test_a_run_without_a_search_has_advice_and_no_cost(run: Run) -> None:
    run.add(real())
    report = run.report(price=PRICE)
    assert report.search is None
    assert "holds the tested 200 requests/s at p99 <= 50 ms" in report.advice["words"]
    assert report.variants[0].slo.cost_reason == ("the highest rate under the objectives was not sought (make slo)")


def test_a_broken_search_file_is_named(run: Run) -> None:
    run.add(real())
    write_bytes(run.folder / "search.json", b"{}")
    with pytest.raises(UsageError, match=r"search.json is not a valid search file.*python -m tune search"):
        run.report()
