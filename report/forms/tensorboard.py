"""--tensorboard DIR: the figures of a report as scalars, one run of TensorBoard per variant, one step per report.

The files are written by the package tensorboard alone. It would import TensorFlow where that is installed, unless a
module `tensorboard.compat.notf` exists: its own switch.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType

from contract.errors import UsageError
from contract.verdict import Report
from report.runs.headline import headlines

sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ModuleNotFoundError as error:
    raise UsageError("--tensorboard needs the package tensorboard; 'pip install tensorboard' brings it") from error

LOGGED = "reports.txt"


def log(report: Report, folder: Path, target: str) -> str:
    """Write one scalar per variant and figure below ``target``; says where. ``folder`` is not read.

    The step is the number of the report in that directory. A report that is logged again keeps its step.
    """
    directory = Path(target)
    step, moment = _step(directory, report.id), datetime.fromisoformat(report.started).timestamp()
    for variant in report.variants:
        values = [
            Summary.Value(tag=f"{item.name} ({item.unit})", simple_value=value)
            for item, value in headlines(report, variant)
        ]
        if values:
            for old in (directory / variant.id).glob(f"*.{report.id}"):
                old.unlink()
            writer = EventFileWriter(str(directory / variant.id), filename_suffix=f".{report.id}")
            writer.add_event(Event(step=step, wall_time=moment, summary=Summary(value=values)))
            writer.close()
    return f"scalars: {directory} (step {step})"


def _step(directory: Path, report: str) -> int:
    """The number of a report in a directory, counted from 1; a new one is added to the list that is kept there."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / LOGGED
    logged = file.read_text().split() if file.is_file() else []
    if report not in logged:
        logged.append(report)
        file.write_text("".join(f"{name}\n" for name in logged))
    return logged.index(report) + 1
