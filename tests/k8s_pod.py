"""A pod without Kubernetes: the wheel's real Triton with the rendered Deployment's arguments, on ports of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract.workspace import Workspace
from serving.engines import triton
from tests.k8s_rendered import flags, server

CONFIG = """
backend: "python" max_batch_size: 8 instance_group { count: 1 kind: KIND_CPU }
input { name: "x" data_type: TYPE_FP32 dims: [1] } output { name: "y" data_type: TYPE_FP32 dims: [1] }
"""
# Answers after 20 ms; a negative number with an error of its own, and one below -9 with an exception.
MODEL = """
import time, triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02)
        return [self.answer(pb.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]
    def answer(self, x):
        if x.min() < -9:
            raise ValueError("far too small")
        if x.min() < 0:
            return pb.InferenceResponse(error=pb.TritonError("too small"))
        return pb.InferenceResponse([pb.Tensor("y", x)])
"""


@dataclass
class Pod:
    """A server that is up."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]

    def get(self, path: str, port: str = "http") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def terminate(self) -> tuple[int, float]:
        """SIGTERM, and the wait for its end. Returns the exit code and seconds."""
        asked = time.monotonic()
        self.process.terminate()
        return self.process.wait(timeout=60), time.monotonic() - asked

    def kill(self) -> None:
        """SIGKILL, and the wait for its end."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(folder: Path, model: str | None = "slow", **settings: int) -> Iterator[Pod]:
    """Run a pod with one model, or with an empty repository; ``settings`` are those of its flags that differ."""
    workspace, models = Workspace(folder), folder / "models"
    models.mkdir()
    if model is not None:
        (models / model / "1").mkdir(parents=True)
        (models / model / "1" / "model.py").write_text(MODEL)
        (models / model / "config.pbtxt").write_text(CONFIG)
    workspace.live.mkdir()
    launch = triton.launch(workspace, "process", "24.10")
    values = {**flags("gpu"), **{key: str(value) for key, value in settings.items()}}
    deployed = [re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], word) for word in server("gpu")["args"][1:]]
    deployed[deployed.index("--model-repository=/models")] = f"--model-repository={models}"
    ours = [word for word in launch.command[1:] if "-address=" in word or "-port=" in word or "backend-" in word]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, **launch.environment}
        command = [launch.command[0], *deployed, *ours]
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    pod = Pod(process, launch.ports)
    try:
        _wait_for_startup_probe(pod)
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield pod
    finally:
        # What a server that was cut off leaves behind: a container's end would take it along.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for file in Path("/dev/shm").glob(f"{launch.shm_prefix}*"):
            file.unlink(missing_ok=True)


def _wait_for_startup_probe(pod: Pod) -> None:
    while pod.process.poll() is None:
        with suppress(OSError):
            pod.get(server("gpu")["startupProbe"]["httpGet"]["path"])
            return
        time.sleep(0.1)
