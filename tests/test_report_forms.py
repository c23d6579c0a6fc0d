"""python -m report: every form from old results, several runs side by side, and the schema of the contract."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.errors import UsageError
from contract.statistics import PERCENTILES
from contract.verdict import Noise, Report
from report.__main__ import main
from report.forms.csv_tables import render_csv
from report.forms.schema import schema_text
from report.forms.writing import FORMS
from report.runs.side_by_side import Line, side_by_side
from report.runs.side_by_side_text import render_json, render_markdown, render_terminal
from tests import report_samples as samples
from tests.builders import MACHINE
from tests.measured_runs import write_run

ROOT = Path(__file__).parents[1]


def rows(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(report))))


def test_a_run_is_written_in_every_form(tmp_path: Path) -> None:
    run = write_run(tmp_path / "results" / "20260131-120000", [1.0])
    command = [sys.executable, "-m", "report", str(run), "--workspace", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    folder = tmp_path / "reports" / run.name
    assert {file.name for file in folder.iterdir()} == {form.file for form in FORMS.values()}
    assert (tmp_path / "reports" / "latest").resolve() == folder.resolve()
    assert ended.stdout.endswith(f"report: {folder / 'report.html'}\n")


def test_one_form_is_remade_alone_and_the_newest_report_stays_the_newest(tmp_path: Path) -> None:
    older, newer = (write_run(tmp_path / "results" / name, [1.0]) for name in ("older", "newer"))
    main([str(newer), "--workspace", str(tmp_path)])
    main([str(older), "--workspace", str(tmp_path), "--only", "junit", "csv"])
    files = {file.name for file in (tmp_path / "reports" / "older").iterdir()}
    assert files == {"junit.xml", "comparison.csv"}
    assert (tmp_path / "reports" / "latest").resolve().name == "newer"


def test_an_unknown_form_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "pdf"])
    assert "pdf" in capsys.readouterr().err


def test_printed_json_is_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "results" / "a", [1.0])
    main([str(run), "--workspace", str(tmp_path), "--json"])
    printed = capsys.readouterr().out
    assert Report.model_validate_json(printed).id == "a"
    assert printed == (tmp_path / "reports" / "a" / "report.json").read_text()


def test_the_table_has_one_row_per_variant_and_stage_with_every_percentile() -> None:
    for report in (samples.report(), samples.awkward(), samples.empty()):
        found = rows(report)
        assert [(row["variant"], row["stage"]) for row in found] == [
            (variant.id, stage.name) for variant in report.variants for stage in variant.stages
        ]
    first, stage = rows(samples.report())[0], samples.report().variants[0].stages[0]
    for name in PERCENTILES:
        found_value = getattr(stage.latency_ms, name)
        assert float(first[f"latency_{name}_ms"]) == found_value.value
        assert first[f"latency_{name}_upper_ms"] == ("" if found_value.upper is None else str(found_value.upper))
    assert first["valid"] == "true"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_text_that_a_spreadsheet_would_calculate_is_guarded(name: str) -> None:
    base = samples.report()
    report = base.model_copy(update={"variants": [base.variants[0].model_copy(update={"model": name})]})
    assert {row["model"] for row in rows(report)} == {f"'{name}"}


def test_the_schema_names_every_key_of_a_report() -> None:
    schema = json.loads(schema_text())
    report = samples.report().model_dump(mode="json")
    assert set(report) == set(schema["properties"])
    assert set(report["variants"][0]) == set(schema["$defs"]["Variant"]["properties"])
    assert "search" not in schema["required"] and "variants" in schema["required"]


def test_the_schema_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    assert main(["schema", "--output", str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text() == schema_text()


def faster(report: Report, factor: float, **changes: Any) -> Report:
    """The same run with every latency multiplied."""
    variants = []
    for variant in report.variants:
        stages = []
        for stage in variant.stages:
            p99 = stage.latency_ms.p99
            scaled = p99.model_copy(update={"value": None if p99.value is None else p99.value * factor})
            stages.append(stage.model_copy(update={"latency_ms": stage.latency_ms.model_copy(update={"p99": scaled})}))
        variants.append(variant.model_copy(update={"stages": stages}))
    return report.model_copy(update={"variants": variants, **changes})


def p99_lines(*reports: Report) -> list[Line]:
    return [line for line in side_by_side(reports).lines if line.figure == "p99"]


@pytest.mark.parametrize(("factor", "beyond"), [(0.97, False), (0.9, False), (1.1, False), (0.8, True), (1.2, True)])
def test_a_change_counts_where_it_exceeds_the_noise_of_both_runs(factor: float, beyond: bool) -> None:
    lines = p99_lines(samples.report(), faster(samples.report(), factor, id="b"))
    assert len(lines) == len(samples.report().variants)
    assert all(line.entries[1].change == pytest.approx(factor - 1) for line in lines)
    assert {line.entries[1].beyond for line in lines} == {beyond}


def test_nothing_is_said_about_a_change_where_a_run_measured_nothing_twice() -> None:
    silent = Noise(variant=None, p99_relative=None, p50_relative=None, low=None, high=None, reason="not repeated")
    lines = p99_lines(samples.report(), faster(samples.report(), 0.5, id="b", noise=silent))
    assert {line.entries[1].beyond for line in lines} == {None}


def test_an_invalid_stage_is_shown_and_not_compared() -> None:
    first, *others = samples.report().variants
    bad = first.model_copy(update={"stages": [*first.stages[:3], samples.invalid_stage("open-200", 4.6)]})
    lines = p99_lines(samples.report(), samples.report(id="b", variants=[bad, *others]))
    entry = lines[0].entries[1]
    assert entry.value is not None and entry.change is None and entry.note == "INVALID"


def test_another_machine_other_versions_and_missing_variants_are_said_first() -> None:
    base = samples.report()
    other = samples.report(
        id="b", machine=MACHINE, versions={**base.versions, "locust": "2.48.0"}, variants=base.variants[1:]
    )
    found = side_by_side([base, other])
    told = " ".join(found.warnings)
    assert "another machine (A processor, 2 cores)" in told
    assert "locust 2.47.0 -> 2.48.0" in told
    assert f"b did not measure {base.variants[0].id}." in told
    assert render_terminal(found).startswith("! b was measured on another machine")
    assert "another machine" in render_markdown(found).splitlines()[2]


def test_other_objectives_and_another_load_plan_are_said_first() -> None:
    base = samples.report()
    promised = {model: limits | {"p99_ms": 20.0} for model, limits in base.objectives.items()}
    found = side_by_side([base, samples.report(id="b", objectives=promised, load_plan="map")])
    assert found.warnings == (
        f"b went through the load plan 'map', {base.id} through the stages of [load].",
        f"b was judged by other objectives than {base.id}: promised p99 of sentiment_torch 50 -> 20 ms, "
        "promised p99 of sentiment_keras 50 -> 20 ms.",
    )


def test_runs_that_were_measured_alike_have_nothing_said_first() -> None:
    assert side_by_side([samples.report(), samples.report(id="b")]).warnings == ()


def test_stages_of_one_name_are_compared_only_where_they_sent_the_same() -> None:
    golden, rows = samples.stage("open-200", 3.0), samples.stage("open-200", 9.0, payloads="rows-8")
    base = samples.variant("words", "onnx", "triton", "http", stages=[golden, rows])
    other = base.model_copy(update={"stages": [rows]})
    reports = [samples.report(variants=[base]), samples.report(id="b", variants=[other])]
    alone, both = p99_lines(*reports)
    assert (alone.payloads, alone.entries[1].value, alone.entries[1].note) == (
        "",
        None,
        "not measured with these requests",
    )
    assert (both.payloads, both.entries[1].change) == ("rows-8", 0.0)
    assert "open-200 (rows-8) p99, ms" in render_terminal(side_by_side(reports))


def test_three_runs_stand_in_three_columns_and_read_back_as_json() -> None:
    found = side_by_side([samples.report(), faster(samples.report(), 0.9, id="b"), faster(samples.report(), 2, id="c")])
    table = [line for line in render_markdown(found).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {5}
    document = json.loads(render_json(found))
    assert document["runs"] == [samples.report().id, "b", "c"]
    assert len(document["lines"][0]["entries"]) == 3


def test_a_hostile_name_does_not_shape_the_comparison() -> None:
    found = side_by_side([samples.awkward(), samples.awkward().model_copy(update={"id": "b"})])
    assert "<img" not in render_markdown(found)
    assert all(character.isprintable() or character == "\n" for character in render_terminal(found))


def test_several_runs_become_one_comparison_and_their_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "results" / name, [factor]) for name, factor in (("a", 1.0), ("b", 1.5))]
    assert main([*map(str, runs), "--workspace", str(tmp_path)]) == 0
    folder = tmp_path / "reports" / "compared" / "a-with-b"
    assert {file.name for file in folder.iterdir()} == {"comparison.md", "comparison.json"}
    assert (tmp_path / "reports" / "b" / "report.html").is_file()
    assert "+50.0 %" in capsys.readouterr().out


def test_the_same_run_twice_or_runs_of_other_models_are_refused() -> None:
    with pytest.raises(UsageError, match="not all different"):
        side_by_side([samples.report(), samples.report()])
    with pytest.raises(UsageError, match="no variant in common"):
        side_by_side([samples.report(), samples.empty().model_copy(update={"id": "b"})])


def test_the_command_starts_without_what_only_its_forms_need() -> None:
    script = "import sys, report.__main__; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) & {"jinja2", "plotly", "pyarrow", "tensorboard", "mlflow"} == set()
