"""Runs that sought the highest rate, compared: one on each side says what it can and judges nothing, five judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.files import write_json
from contract.search import Limit
from contract.verdict import Report, Variant
from tests.report_search_samples import RESOLUTION, search_report
from tune.comparison.command import main

NOISE = 0.08
FEW = "so few searches test nothing, 5 runs on each side do (--more-base, --more-new)."


def scaled(variant: Variant, factor: float, limited_by: Limit) -> Variant:
    """The same with another highest rate; without one where the factor is 0."""
    rate = round((variant.slo.max_rps.value or 0.0) * factor, 2) or None
    answer = variant.slo.max_rps.model_copy(update={"value": rate, "low": rate, "limited_by": limited_by})
    return variant.model_copy(update={"slo": variant.slo.model_copy(update={"max_rps": answer})})


def searched(
    folder: Path, name: str, factor: float = 1.0, *, noise: float | None = NOISE, limited_by: Limit = "server"
) -> Path:
    """A report of a search whose first variant found ``factor`` times the usual rate."""
    base = search_report()
    first, *others = base.variants
    about = base.noise.model_copy(update={"max_rps_relative": noise, "p50_relative": None, "p99_relative": None})
    variants = [scaled(first, factor, limited_by), *others]
    report: Report = base.model_copy(update={"id": name, "variants": variants, "noise": about})
    write_json(folder / name / "report.json", report)
    return folder / name


def compared(
    capsys: pytest.CaptureFixture[str], base: Path, new: Path, *more: str | Path
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The exit code, the JSON document, and of it the figure of the first variant."""
    code = main([str(base), str(new), *map(str, more), "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, document, document["figures"][0]


@pytest.mark.parametrize(
    ("factor", "noise", "outcome", "reason"),
    [
        (1.00, NOISE, "within noise", "means nothing: not above the noise of the runs, 8 %"),
        (0.94, NOISE, "within noise", "means nothing: not above the noise of the runs, 8 %"),
        (1.07, NOISE, "within noise", "means nothing: not above the noise of the runs, 8 %"),
        (0.97, 0.01, "within noise", "means nothing: not above the minimum effect, 5 %"),
        (0.97, None, "within noise", "means nothing: not above the minimum effect, 5 %"),
        (0.85, NOISE, "beyond noise", "above the noise of the runs, 8 %, but not tested: 5 runs on each side test it"),
        (1.20, NOISE, "beyond noise", "above the noise of the runs, 8 %, but not tested: 5 runs on each side test it"),
    ],
)
def test_one_search_on_each_side_is_held_against_its_noise_and_judges_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    noise: float | None,
    outcome: str,
    reason: str,
) -> None:
    base, new = searched(tmp_path, "a", noise=noise), searched(tmp_path, "b", factor, noise=noise)
    code, document, figure = compared(capsys, base, new)
    assert (code, document["regression"], figure["figure"]) == (0, False, "max rate")
    assert (figure["outcome"], figure["reason"]) == (outcome, reason)
    assert figure["difference"] == pytest.approx(factor - 1, abs=1e-3) and figure["change"] is None
    assert document["sentence"].startswith("NO VERDICT: ") and document["sentence"].endswith(FEW)


def test_the_larger_noise_of_both_runs_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = searched(tmp_path, "a", noise=0.2), searched(tmp_path, "b", 0.85, noise=0.01)
    assert compared(capsys, base, new)[2]["outcome"] == "within noise"


def test_no_difference_below_the_resolution_means_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = searched(tmp_path, "a", noise=0.0), searched(tmp_path, "b", 1 - 0.8 * RESOLUTION, noise=0.0)
    figure = compared(capsys, base, new, "--min-effect", "1%")[2]
    assert figure["reason"] == "means nothing: not above the resolution of a search, 5 %"


def test_the_sentence_names_what_changed_and_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = searched(tmp_path, "a"), searched(tmp_path, "b", 0.7)
    changed = search_report().variants[0].id
    assert main([str(base), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = f"NO VERDICT: the highest rate of {changed} (-30.0 %) changed by more than noise and resolution explain; "
    assert lines[-1] == said + FEW
    assert sum("≈" in line for line in lines) == len(search_report().variants) - 1
    assert not any("Bootstrap" in line for line in lines)
    assert main([str(base), str(new), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("**NO VERDICT: ")


def test_nothing_that_a_search_went_through_on_its_way_is_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document, _ = compared(capsys, searched(tmp_path, "a"), searched(tmp_path, "b"))
    assert {item["figure"] for item in document["figures"]} == {"max rate"}
    assert len(document["figures"]) == len(search_report().variants)


@pytest.mark.parametrize(
    ("limited_by", "words"),
    [("load generator", "the load generator was the limit"), ("range", "its range was the limit")],
)
def test_a_rate_that_the_server_did_not_end_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limited_by: Limit, words: str
) -> None:
    base, new = searched(tmp_path, "a"), searched(tmp_path, "b", 0.5, limited_by=limited_by)
    with pytest.raises(UsageError, match=search_report().variants[0].id):
        main([str(base), str(new)])
    assert f"not judged: in b {words}, not the server" in capsys.readouterr().out


def test_a_variant_that_confirms_no_rate_any_more_cannot_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = searched(tmp_path, "a"), searched(tmp_path, "b", 0.0)
    with pytest.raises(UsageError, match="nothing could be judged of " + search_report().variants[0].id):
        main([str(base), str(new)])
    assert "not judged: no rate was confirmed in b" in capsys.readouterr().out


def test_five_searches_on_each_side_are_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spread = (1.0, 1.01, 0.99, 1.02, 0.98)
    base = [searched(tmp_path, f"a{turn}", factor) for turn, factor in enumerate(spread)]
    new = [searched(tmp_path, f"b{turn}", 0.8 * factor) for turn, factor in enumerate(spread)]
    code, document, figure = compared(capsys, base[0], new[0], "--more-base", *base[1:], "--more-new", *new[1:])
    assert (code, figure["outcome"]) == (1, "regression")
    assert figure["change"]["estimate"] == pytest.approx(-0.2, abs=1e-3)
    assert document["sentence"].startswith("REGRESSION: ")


def test_what_was_tested_and_what_was_not_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = [searched(tmp_path, f"a{turn}") for turn in range(5)]
    new = [searched(tmp_path, f"b{turn}", 0.0 if turn else 0.8) for turn in range(5)]  # four of them confirm no rate
    code, document, figure = compared(capsys, base[0], new[0], "--more-base", *base[1:], "--more-new", *new[1:])
    assert (code, figure["outcome"]) == (0, "beyond noise")
    others = len(search_report().variants) - 1
    assert document["sentence"].startswith(f"No regression in {others} figures of {others} variants")
    assert f"Not tested: the highest rate of {search_report().variants[0].id} (-20.0 %)" in document["sentence"]
