"""python -m report: which runs it takes, which it refuses before any work, and what the gate reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contract.errors import UsageError
from report.__main__ import main
from tests.measured_runs import write_run


def latest(workspace: Path) -> str:
    return (workspace / "reports" / "latest").resolve().name


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (["results/older"], "leave out results/older"),
        (["--only", "json"], "leave out --only"),
        (["--json"], "leave out --json"),
        (["--tensorboard", "logs"], "leave out --tensorboard"),
        (["results/older", "--mlflow", "http://127.0.0.1:5000"], "leave out results/older, --mlflow"),
    ],
)
def test_the_gate_takes_no_run_for_it_would_give_the_verdict_of_another(
    tmp_path: Path, beside: list[str], named: str
) -> None:
    run = write_run(tmp_path / "results" / "newer", [1.0])
    main([str(run), "--workspace", str(tmp_path), "--only", "json"])
    with pytest.raises(UsageError) as refused:
        main(["--verdict", *beside, "--workspace", str(tmp_path)])
    assert str(refused.value).startswith("--verdict reads reports/latest") and str(refused.value).endswith(named)


def test_the_gate_says_which_report_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "results" / "20260131-120000", [1.0])
    main([str(run), "--workspace", str(tmp_path), "--only", "json"])
    capsys.readouterr()
    assert main(["--verdict", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("(report 20260131-120000)")


def test_a_run_that_mlflow_does_not_take_is_reported_and_is_what_the_gate_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (write_run(tmp_path / "results" / name, [1.0]) for name in ("older", "newer"))
    where = ["--workspace", str(tmp_path), "--only", "json"]
    main([str(older), *where])
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed, whether it is or not
    with pytest.raises(UsageError, match="mlflow"):
        main([str(newer), *where, "--mlflow", "http://127.0.0.1:5000"])
    assert latest(tmp_path) == "newer"
    assert f"report: {tmp_path / 'reports' / 'newer' / 'report.json'}" in capsys.readouterr().out


def test_a_run_that_is_named_twice_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "results" / "a", [1.0])
    link = tmp_path / "results" / "latest"
    link.symlink_to(run.name)
    with pytest.raises(UsageError, match="named already") as refused:
        main([str(run), str(link), "--workspace", str(tmp_path)])
    assert str(refused.value).startswith(f"{link} is {run}")
    assert not (tmp_path / "reports").exists()


def test_a_copy_of_a_run_is_refused_before_one_report_overwrites_the_other(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / place / "a", [1.0]) for place in ("here", "there")]
    with pytest.raises(UsageError, match="not all different"):
        main([*map(str, runs), "--workspace", str(tmp_path)])
    assert not (tmp_path / "reports").exists()


def test_runs_whose_names_are_too_long_together_are_compared_all_the_same(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "results" / (name * 130), [1.0]) for name in "ab"]
    assert main([*map(str, runs), "--workspace", str(tmp_path), "--only", "json"]) == 0
    (folder,) = (tmp_path / "reports" / "compared").iterdir()
    assert folder.name.startswith(f"{'a' * 130}-with-1-more-")
    assert (folder / "comparison.json").is_file()
