"""--tensorboard and --mlflow: what is logged is what the report says; MLflow is not needed otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from contract.errors import UsageError
from report.__main__ import main
from report.forms import mlflow
from tests import report_samples as samples
from tests.measured_runs import write_run

ROOT = Path(__file__).parents[1]
# The package would import TensorFlow where it is installed, unless this module exists: its own switch.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

VARIANT = "words__onnx__triton__http"


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """(step, value) of a scalar, as TensorBoard reads it."""
    reader = EventAccumulator(str(folder / VARIANT))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def test_reports_become_the_steps_of_a_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "tensorboard"
    for name, factor in (("a", 1.0), ("b", 1.5)):
        run = write_run(tmp_path / "results" / name, [factor])
        main([str(run), "--workspace", str(tmp_path), "--only", "json", "--tensorboard", str(logs)])
    assert f"scalars: {logs} (step 2)" in capsys.readouterr().err
    for tag, values in (("p50 (ms)", [10, 15]), ("p99 (ms)", [11, 16.5]), ("throughput (req/s)", [400, 267])):
        found = scalars(logs, tag)
        assert [step for step, _ in found] == [1, 2]
        assert [value for _, value in found] == pytest.approx(values, rel=0.03)


def test_a_report_that_is_logged_again_keeps_its_step(tmp_path: Path) -> None:
    logs = tmp_path / "tensorboard"
    run = write_run(tmp_path / "results" / "a", [1.0])
    for _ in range(2):
        main([str(run), "--workspace", str(tmp_path), "--only", "json", "--tensorboard", str(logs)])
    assert [step for step, _ in scalars(logs, "p99 (ms)")] == [1]


def test_logging_scalars_needs_neither_tensorflow_nor_torch() -> None:
    script = "import sys, report.forms.tensorboard; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) & {"tensorflow", "torch", "keras", "jax"} == set()


def test_without_mlflow_the_way_to_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed, whether it is or not
    with pytest.raises(UsageError, match="pip install mlflow"):
        mlflow.log(samples.report(), tmp_path, "sqlite:///mlflow.db")


def test_metrics_and_parameters_of_mlflow_are_those_of_the_report() -> None:
    report = samples.report()
    first = report.variants[0]
    found = mlflow.metrics(report)
    assert found[f"{first.id}/p99"] == first.stages[-1].latency_ms.p99.value
    assert found[f"{first.id}/throughput"] == first.stages[2].throughput_rps
    assert len(found) == 3 * len(report.variants)
    named = mlflow.parameters(report)
    assert (named["processor"], named["version locust"]) == ("AMD EPYC 7763", "2.47.0")
    assert named["sentiment_torch p99_ms"] == "50.0"


def test_names_hold_only_what_mlflow_takes() -> None:
    hostile = samples.awkward()
    names = [*mlflow.metrics(hostile), *mlflow.parameters(hostile)]
    assert all(mlflow.FORBIDDEN.search(name) is None for name in names)


def test_many_entries_go_in_parts_that_a_server_takes() -> None:
    parts = list(mlflow.batched(list(range(250))))
    assert [len(part) for part in parts] == [100, 100, 50]
    assert [entry for part in parts for entry in part] == list(range(250))
