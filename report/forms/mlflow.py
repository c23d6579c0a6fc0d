"""--mlflow URI: a report as a run of MLflow: parameters, figures as metrics, its files as artifacts.

MLflow is no dependency of the project: it is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from contract.errors import ServerError, UsageError
from contract.verdict import Report
from report.runs.headline import headlines

EXPERIMENT = "loadproof"
MOST = 100  # parameters that a server takes in one request; of metrics it takes more
FORBIDDEN = re.compile(r"[^\w\-./ ]")  # in the names of metrics
MISSING = "--mlflow needs the package mlflow, which is not installed; 'pip install mlflow' brings it"


def log(report: Report, folder: Path, target: str) -> str:
    """Log one run to the tracking server or folder ``target``, with the files of ``folder``; says which it is.

    Raises UsageError without the package and ServerError when ``target`` does not take the run.
    """
    mlflow = _mlflow()
    moment = round(1000 * datetime.fromisoformat(report.started).timestamp())
    try:
        client = mlflow.MlflowClient(tracking_uri=target)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        created = client.create_run(number, start_time=moment, run_name=report.id, tags={"verdict": report.verdict})
        figures = [mlflow.entities.Metric(name, value, moment, 0) for name, value in metrics(report).items()]
        for part in batched(figures):
            client.log_batch(created.info.run_id, metrics=part)
        for part in batched([mlflow.entities.Param(name, value) for name, value in parameters(report).items()]):
            client.log_batch(created.info.run_id, params=part)
        client.log_artifacts(created.info.run_id, str(folder))
        client.set_terminated(created.info.run_id)
    except mlflow.exceptions.MlflowException as error:
        raise ServerError(f"MLflow at {target} did not take the run: {error}; check the address of --mlflow") from error
    return f"mlflow: run {created.info.run_id} of experiment {EXPERIMENT} at {target}"


def metrics(report: Report) -> dict[str, float]:
    """Figures by ``<variant>/<figure>``."""
    return {
        FORBIDDEN.sub("_", f"{variant.id}/{item.name}"): value
        for variant in report.variants
        for item, value in headlines(report, variant)
    }


def parameters(report: Report) -> dict[str, str]:
    """What a reader needs to know before comparing two runs."""
    found = {"report": report.id, "target": report.target, **report.machine.model_dump()}
    found |= {f"version {name}": version for name, version in report.versions.items()}
    for model, promised in report.objectives.items():
        found |= {f"{model} {key}": value for key, value in promised.items()}
    return {FORBIDDEN.sub("_", name): str(value) for name, value in found.items()}


def batched(entries: list[Any]) -> Iterator[list[Any]]:
    """The entries in parts that one request may hold."""
    for begin in range(0, len(entries), MOST):
        yield entries[begin : begin + MOST]


def _mlflow() -> Any:
    try:
        return importlib.import_module("mlflow")
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise UsageError(MISSING) from error
