"""ONNX Runtime in a process of its own, without any server: rows per second at several batch sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from contract.errors import LoadproofError

BATCHES = (1, 8, 32)
SCRIPT = """
import json, sys, time, numpy as np, onnxruntime
path, question, seconds, *batches = sys.argv[1:]
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
with np.load(question) as archive: inputs = {name: archive[name] for name in archive.files}
rates = {}
for batch in map(int, batches):
    rows = {name: np.repeat(array, batch, axis=0) for name, array in inputs.items()}
    for _ in range(50): session.run(None, rows)
    calls, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < float(seconds): session.run(None, rows); calls += 1
    rates[batch] = calls * batch / taken
print(json.dumps(rates))
"""


def rows_per_second(model: Path, question: Path, seconds: float) -> dict[int, float]:
    """Batch size -> rows per second of the bare call, with one thread. ``question`` is an .npz of the inputs."""
    command = [sys.executable, "-c", SCRIPT, str(model), str(question), str(seconds), *map(str, BATCHES)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise LoadproofError(f"ONNX Runtime alone failed: {ended.stderr[-500:]}")
    return {int(batch): float(rate) for batch, rate in json.loads(ended.stdout).items()}
