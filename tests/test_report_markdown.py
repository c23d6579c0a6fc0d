"""The Markdown report: the verdict first, one table, nothing that a name could shape."""

from __future__ import annotations

import re

import pytest

from contract.verdict import Report
from report.forms.markdown import escape, render_markdown
from tests import report_samples as samples
from tests.report_search_samples import search_report


def table(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in rows]


def test_the_verdict_is_the_first_line() -> None:
    first = render_markdown(samples.report()).splitlines()[0]
    assert first == f"**PASS: {samples.report().sentence}**"


def test_a_sentence_that_begins_with_the_verdict_does_not_say_it_twice() -> None:
    report = samples.report(sentence="PASS: all is well.")
    assert render_markdown(report).splitlines()[0] == "**PASS: all is well.**"


def test_there_is_one_row_per_variant_and_all_rows_are_as_wide() -> None:
    for report in (samples.report(), samples.awkward()):
        rows = table(render_markdown(report))
        assert len(rows) == 2 + len(report.variants)
        assert len({len(row) for row in rows}) == 1


def test_the_parts_come_in_their_order() -> None:
    text = render_markdown(samples.awkward())
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    expected = ["Winners", "Comparison", "Not ranked", "What could mislead", "Unserved formats", "Noise"]
    assert titles == [*expected, "How to reproduce"]


def test_a_hostile_name_stays_text() -> None:
    text = render_markdown(samples.awkward())
    assert "<" not in text.replace("<=", "")
    assert not re.search(r"(?<!\\)`x", text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("two\nlines", "two lines"),
        ("@someone #12", "&#64;someone &#35;12"),
        ("[x](http://y)", "\\[x\\](http://y)"),
    ],
)
def test_escape_takes_the_meaning_from_marks(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_tie_names_all_who_are_tied() -> None:
    text = render_markdown(samples.awkward())
    assert "Tie: onnx on Triton, HTTP; onnx on Triton, gRPC" in text


def test_a_model_without_a_winner_says_so() -> None:
    assert "no variant could be ranked" in render_markdown(samples.awkward())


def test_what_cannot_be_claimed_says_what_a_claim_needs() -> None:
    assert "61.0 (needs \\~2,400 more)" in render_markdown(samples.awkward())


def test_an_identity_cannot_end_the_block_of_commands() -> None:
    report = samples.report(id="x```\n# title")
    assert render_markdown(report).count("```") == 2


@pytest.mark.parametrize("report", [samples.report(), samples.awkward(), samples.empty()])
def test_it_ends_with_how_to_reproduce(report: Report) -> None:
    tail = render_markdown(report).split("### How to reproduce")[1]
    assert "make export serve loadtest" in tail and f"python -m report results/{report.id}" in tail


def test_no_variant_is_said_in_words() -> None:
    text = render_markdown(samples.empty())
    assert text.startswith("**INVALID") and "No variant was measured." in text and not table(text)


def test_what_to_serve_comes_right_after_the_verdict_and_stays_text() -> None:
    report = samples.report(advice={"words": f"words: serve it as {samples.INJECTION}"})
    lines = render_markdown(report).splitlines()
    assert lines[2].startswith("- words: serve it as &lt;/script&gt;")
    assert "<" not in render_markdown(report)


def test_a_search_has_a_column_for_its_rates_and_is_reproduced_by_its_own_command() -> None:
    text = render_markdown(search_report())
    head, _, first, *_ = table(text)
    place = [cell.strip() for cell in head].index("Max rate under SLO, req/s")
    assert re.fullmatch(r" [\d,]+ \(misses at [\d,]+\) ", first[place])
    assert "Percentiles are of the open loop at the rate that was confirmed" in text
    assert "make export serve slo" in text
    assert "Max rate" not in render_markdown(samples.report())
    assert "Cost" not in text
