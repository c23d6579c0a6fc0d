"""A TF Serving pod without Kubernetes: the EMBEDDED server with the rendered Deployment's arguments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.builders import free_port
from tests.conftest import ROOT
from tests.k8s_pod import Pod
from tests.k8s_rendered import K8S, flags, server
from tests.open_loop import wait_for

OVERLAY = "cpu-tfserving"
MODEL = "half"
VERSION = 123
EXAMPLE = "saved_model_half_plus_two_cpu"
START_S = 90.0  # importing TensorFlow on a busy machine


def store(folder: Path) -> Path:
    """A folder with TF Serving's own example, y = x / 2 + 2, as ``MODEL``; written in a process of its own."""
    command = [sys.executable, "tests/half_plus_two.py", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    models = folder / "models"
    models.mkdir()
    shutil.move(folder / EXAMPLE, models / MODEL)
    return models


@contextmanager
def running(log: Path, models: Path, **settings: int) -> Iterator[Pod]:
    """Run a pod until it passes its startup probe; ``settings`` are those of its flags that differ.

    It ends as the original does, which has no handler for SIGTERM: by ``Pod.kill``, or with the block.
    """
    ports = {"grpc": free_port(), "rest": free_port()}
    values = {**flags(OVERLAY), "MODEL": MODEL, **{key: str(value) for key, value in settings.items()}}
    here = {
        "--port=8500": f"--port={ports['grpc']}",
        "--rest_api_port=8501": f"--rest_api_port={ports['rest']}",
        f"--model_base_path=/models/{MODEL}": f"--model_base_path={models / MODEL}",
        "--monitoring_config_file=/etc/tfserving/monitoring.config": "--monitoring_config_file="
        f"{K8S / 'base' / 'tfserving' / 'monitoring.config'}",
    }
    words = [re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], word) for word in server(OVERLAY)["args"]]
    assert here.keys() <= set(words)
    command = [sys.executable, "-m", "serving.tfserving", "--host=127.0.0.1", *(here.get(word, word) for word in words)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    pod = Pod(process, ports)
    try:
        up = wait_for(lambda: _answers(pod) or process.poll() is not None, START_S)
        assert up and process.poll() is None, log.read_text()[-2000:]
        yield pod
    finally:
        pod.kill()


def _answers(pod: Pod) -> bool:
    """The ports open after the first load, so whatever is answered is the startup probe's connection too."""
    with suppress(OSError):
        pod.get(server(OVERLAY)["livenessProbe"]["httpGet"]["path"], "rest")
        return True
    return False
