"""The terminal summary: aligned, narrow enough, readable without colour, the verdict last."""

from __future__ import annotations

import pytest

from contract.verdict import Report
from report import words
from report.terminal import WIDTH, render_summary
from tests import report_samples as samples

REPORTS = [samples.report(), samples.awkward(), samples.empty()]


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
