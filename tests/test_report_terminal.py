"""The terminal summary: aligned, narrow enough, readable without colour, the verdict last."""

from __future__ import annotations

import pytest

from contract.records import Purpose
from contract.verdict import Report
from report import words
from report.forms.terminal import WIDTH, render_summary
from tests import report_samples as samples
from tests.report_search_samples import search_report

REPORTS = [samples.report(), samples.awkward(), samples.empty(), search_report()]


def rows(report: Report) -> list[str]:
    """The lines of the variants: those of the table that begin with a mark."""
    table = render_summary(report).split("\n\n")[0].splitlines()[2:]
    return [line for line in table if line[:2] in ("~ ", "x ", "  ")]


@pytest.mark.parametrize("report", REPORTS)
def test_no_line_is_wider_than_the_terminal(report: Report) -> None:
    assert max(map(len, render_summary(report).splitlines())) <= WIDTH == 110


@pytest.mark.parametrize("report", REPORTS)
def test_it_ends_with_the_verdict(report: Report) -> None:
    text = " ".join(render_summary(report).split())
    assert text.endswith(" ".join(words.verdict(report).split()))


@pytest.mark.parametrize("report", REPORTS)
def test_there_is_no_colour_and_no_control_character(report: Report) -> None:
    assert all(character.isprintable() or character == "\n" for character in render_summary(report))


def test_a_name_cannot_write_to_the_screen() -> None:
    report = samples.report(sentence="\x1b[2Jgone\nand a line", warnings=["\x07bell"])
    assert "\x1b" not in render_summary(report) and "\x07" not in render_summary(report)


def test_columns_are_aligned() -> None:
    shown = rows(samples.report())
    assert len(shown) == len(samples.report().variants)
    assert len({len(line) for line in shown}) == 1


def test_every_variant_is_named_in_full() -> None:
    text = render_summary(samples.report())
    assert all(name in text for name in words.labels(samples.report()).values())
    assert "…" not in text


def test_a_claim_that_lacks_samples_stands_apart_from_its_percentile() -> None:
    line = next(line for line in rows(samples.awkward()) if "needs" in line)
    assert "61.0  needs ~2,400 more" in line


def test_what_is_not_ranked_is_marked_and_explained() -> None:
    text = render_summary(samples.report())
    assert "x savedmodel on TF Serving (embedded), REST" in text
    assert "REST: the engine is embedded" in text


def test_no_variant_is_said_in_words() -> None:
    assert render_summary(samples.empty()).startswith("No variant was measured.")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.00"), (0.001, "<0.01"), (1.234, "1.23"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234")],
)
def test_numbers_keep_three_digits(value: float, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_not_a_number_is_absent(value: float | None) -> None:
    assert words.number(value) == words.share(value) == words.difference(value) == words.ABSENT


def test_only_the_whole_is_called_all_of_it() -> None:
    assert words.share(1.0) == "100 %"
    assert words.share(0.9999) == ">99.9 %"


def priced(report: Report, cost: float = 0.0431) -> Report:
    """The same report, its variants with a cost."""
    variants = [
        item.model_copy(
            update={"slo": item.slo.model_copy(update={"cost_per_million": cost, "currency": "USD"})},
        )
        for item in report.variants
    ]
    return report.model_copy(update={"variants": variants})


def test_a_search_shows_the_highest_rate_and_the_lowest_that_was_missed() -> None:
    report = search_report()
    best = next(item for item in report.variants if item.id == "sentiment_torch__onnx__triton__grpc")
    line = next(line for line in rows(report) if "onnx on Triton, gRPC" in line).split()
    assert best.slo.max_rps.value is not None
    assert line[5:7] == [words.number(best.slo.max_rps.value), words.number(best.slo.max_rps.high)]
    assert line[-1] == "passed"
    assert "max rate" not in render_summary(samples.report())


def test_a_cost_has_a_column_of_its_own_where_there_is_one() -> None:
    report = priced(search_report())
    assert "per million" in render_summary(report).splitlines()[1]
    assert all("0.0431 USD" in line for line in rows(report))
    assert max(map(len, render_summary(report).splitlines())) <= WIDTH
    assert "per million" not in render_summary(search_report())


def test_what_to_serve_and_why_stands_right_before_the_verdict() -> None:
    report = samples.report(advice={"words": "words: serve it as onnx.", "pictures": "pictures: serve it as onnx."})
    blocks = render_summary(report).strip().split("\n\n")
    assert blocks[-3:-1] == ["words: serve it as onnx.", "pictures: serve it as onnx."]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04314, "0.0431 USD"), (0.333, "0.333 USD"), (12.345, "12.3 USD"), (None, words.ABSENT)]
)
def test_money_keeps_three_digits(value: float | None, shown: str) -> None:
    assert words.money(value, "USD") == shown


def test_what_a_probe_met_beyond_the_maximum_is_no_mark_on_the_variant() -> None:
    def with_trouble(purpose: Purpose) -> Report:
        base = search_report()
        first = base.variants[0]
        place = next(number for number, stage in enumerate(first.stages) if stage.purpose == purpose)
        trouble = first.stages[place].model_copy(update={"valid": False, "errors": {"timeout": 7}})
        stages = [*first.stages[:place], trouble, *first.stages[place + 1 :]]
        return base.model_copy(update={"variants": [first.model_copy(update={"stages": stages})]})

    assert rows(with_trouble("probe"))[0].split()[-2] == "0"
    assert words.badges(with_trouble("probe").variants[0]) == words.badges(search_report().variants[0])
    assert rows(with_trouble("confirm"))[0].split()[-2] == "7"
    assert any("INVALID" in word for word, _ in words.badges(with_trouble("confirm").variants[0]))
