"""The framework's own call in a process without a server, by backend: a table of what opens a file and calls it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from contract.errors import ServerError

MEASURED_S = 0.2  # of one size of batch
# Says `open` once it has answered; then one line in is a number of rows, one out the median microseconds of a call.
SCRIPT = """
import statistics, sys, time, numpy as np
path, asked, *outputs = sys.argv[1:]
with np.load(asked) as archive: row = {name: archive[name] for name in archive.files}
{opened}
call(row)
print("open", flush=True)
for line in sys.stdin:
    inputs = {name: np.repeat(array, int(line), axis=0) for name, array in row.items()}
    for _ in range(20): call(inputs)
    taken, end = [], time.perf_counter() + {seconds}
    while time.perf_counter() < end:
        started = time.perf_counter(); call(inputs); taken.append(time.perf_counter() - started)
    print(statistics.median(taken) * 1e6, flush=True)
"""
OPENED = {
    "onnxruntime": """
import onnxruntime
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
def call(inputs): return session.run(outputs, inputs)
""",
    "pytorch": """
import torch
torch.set_num_threads(1)
module = torch.jit.load(path).eval()
def call(inputs):
    with torch.inference_mode(): found = module(*[torch.from_numpy(array) for array in inputs.values()])
    return [tensor.numpy() for tensor in (found if isinstance(found, (tuple, list)) else (found,))]
""",
    "tensorflow": """
import os; os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
import tensorflow as tf
options = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
session = tf.compat.v1.Session(graph=tf.Graph(), config=options)
with session.graph.as_default():
    signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
    run = session.make_callable([signature.outputs[name].name for name in outputs],
                                [signature.inputs[name].name for name in row])
def call(inputs): return run(*inputs.values())
""",
}


class Floor:
    """A framework alone in a process, with one thread; ``asked`` is an .npz of the inputs, one row each."""

    def __init__(self, backend: str, path: Path, asked: Path, outputs: list[str]) -> None:
        self._backend = backend
        text = SCRIPT.replace("{opened}", OPENED[backend]).replace("{seconds}", str(MEASURED_S))
        command = [sys.executable, "-W", "ignore", "-c", text, str(path), str(asked), *outputs]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    @property
    def pid(self) -> int:
        return self._child.pid

    def open(self) -> None:
        """Wait until it has answered its first request. Raises ServerError where the process died."""
        self._line("opening its file")

    def us(self, rows: float) -> float:
        """Median microseconds of one call of so many rows. Raises ServerError where the process died."""
        assert self._child.stdin
        with suppress(BrokenPipeError):
            self._child.stdin.write(f"{max(1, round(rows))}\n")
            self._child.stdin.flush()
        return float(self._line(f"a call of {rows:g} rows"))

    def _line(self, what: str) -> str:
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise ServerError(f"{self._backend} without a server died at {what}, code {self._child.wait()}")
        return line

    def close(self) -> None:
        """End it."""
        self._child.kill()  # it holds nothing that would be lost, and a framework's farewell takes its time
        self._child.communicate()
