"""Records as a whole run that the report can judge, and what judging takes: a process of its own, seen from outside.

``python -m report`` wants the plan, the observation, the golden batch and sampled answers beside the records.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.codecs.triton_http import LENGTH_HEADER
from contract.compare import Parity
from contract.endpoints import Configuration, Endpoint
from contract.errors import ServerError
from contract.files import write_json
from contract.golden import Example, write_examples
from contract.machine import this_machine
from contract.records import Observation, Plan, Seeds, Stage, StageObservation, VariantPlan, answer_frame, golden_name
from contract.slo import Slo
from contract.tensors import TensorSpec, to_bytes

VARIANT = "v"
PROVEN = Parity(passed=True, max_abs=0.0, max_rel=0.0, agreement=1.0, requests=64)
LOGITS = TensorSpec(name="logits", dtype="float32", dims=["batch", 2])
RIGHT = np.zeros((1, 2), np.float32)
HEADER = b'{"outputs":[{"name":"logits","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
KIB_PER_GB = 1e9 / 1024
TIMES = 5  # a short command is started so often, and the median taken


@dataclass(frozen=True)
class Ran:
    """A command: seconds by the clock, and its highest resident memory in GB (10^9 bytes).

    Linux counts the memory of whoever started it, until then, as its own: below some 0.2 GB it says nothing.
    """

    seconds: float
    most_gb: float


def complete(folder: Path, stage: Stage, seen: StageObservation, answers: int) -> None:
    """Write the other files of a run of one open-loop stage into the folder of its records."""
    endpoint = _endpoint()
    keys = [f"r{number:04d}" for number in range(answers)]
    planned = VariantPlan(id=VARIANT, endpoint=endpoint, stages=[stage], repeat_of=None)
    plan = Plan(
        schema_version=1,
        id=folder.name,
        started="2026-01-31T12:00:00+00:00",
        machine=this_machine(),
        same_machine=True,
        versions={},
        target="",
        seeds=Seeds(schedule=1, payload=1, sampling=1),
        answers=answers,
        servers=[],
        resident=[],
        unserved={},
        variants=[planned],
    )
    write_json(folder / "plan.json", plan)
    observation = Observation(schema_version=1, variant=VARIANT, complete=True, stages=[seen])
    write_json(folder / f"server-stats-{VARIANT}.json", observation)
    tokens = np.zeros((1, 8), np.int64)
    golden = [Example(key, {"tokens": tokens}, {"logits": RIGHT}) for key in keys]
    write_examples(folder / golden_name(endpoint), golden)
    body = HEADER + to_bytes(RIGHT)
    frames = [answer_frame(0, key, {LENGTH_HEADER: str(len(HEADER))}, body) for key in keys]
    (folder / f"answers-{VARIANT}-0.bin").write_bytes(b"".join(frames))


def report_command(folder: Path) -> Ran:
    """``python -m report`` over a run, every form of it, below the workspace that holds ``results/<run>``."""
    words = ["-m", "report", str(folder), "--workspace", str(folder.parent.parent)]
    return ran([sys.executable, *words])


def import_seconds(module: str) -> float:
    """How much longer an interpreter takes that imports it, median; everything is in the page cache by then."""
    bare, importing = [sys.executable, "-c", ""], [sys.executable, "-c", f"import {module}"]
    taken = [ran(importing).seconds - ran(bare).seconds for _ in range(TIMES + 1)]
    return float(np.median(taken[1:]))


def ran(command: list[str]) -> Ran:
    """Run it to its end; ServerError with what it said where it failed."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        used = _end(child)
    if child.returncode != 0:
        raise ServerError(f"{' '.join(command[1:])} ended with {child.returncode}: {said[-500:].strip()}")
    return Ran(time.perf_counter() - began, used.ru_maxrss / KIB_PER_GB)


def _end(child: subprocess.Popen[str]) -> resource.struct_rusage:
    """Wait for it, and for the kernel's account of it alone: RUSAGE_CHILDREN would be the largest of all children."""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return used


def _endpoint() -> Endpoint:
    return Endpoint(
        id=VARIANT,
        model="words",
        version=1,
        format="onnx",
        engine="triton",
        engine_kind="real",
        engine_version="",
        backend_kind="python",
        stand_in_for=None,
        device="cpu",
        protocol="http",
        address="127.0.0.1:1",
        served_name="words__onnx",
        configuration=Configuration(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1),
        artifact_sha256="a" * 64,
        parity_export=PROVEN,
        parity_engine=PROVEN,
        parity_endpoint=PROVEN,
        load_to_ready_s=1.0,
        first_request_ms=5.0,
        payloads="",
        outputs=[LOGITS],
        golden="",
        atol=1e-4,
        rtol=1e-3,
        slo=Slo(rate=10_000, p99_ms=20),
        accuracy={},
    )
