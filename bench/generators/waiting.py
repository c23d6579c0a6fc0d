"""Exchange a served model for one that waits before it answers: a latency that no client has a part in."""

from __future__ import annotations

import math

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from bench.hop.repository import PEERS
from contract.endpoints import Endpoint
from contract.errors import UsageError
from contract.triton_control import TritonControl
from contract.workspace import Workspace
from serving.layout.triton_config import to_text

BUSY = 0.5  # share of the time that each instance may wait, so that requests do not wait for one another
MOST = 8  # instances; each is a process
PARAMETER = "waits_s"
# The backend that loops over its requests, which waits before it does; waiting takes no core.
WAITING = (
    PEERS["simple"]
    + """
import time
class TritonPythonModel(TritonPythonModel):
    def prepare(self):
        super().prepare()
        self.waits_s = float(self.parameters["waits_s"])
    def execute(self, requests):
        time.sleep(self.waits_s)
        return super().execute(requests)
"""
)


def instances(work_ms: float, rate: float) -> int:
    """As many as wait at most half of the time at so many requests per second.

    Raises UsageError where that is no time, or too many processes.
    """
    found = max(1, math.ceil(work_ms / 1e3 * rate / BUSY)) if work_ms >= 0 else 0
    if not 0 < found <= MOST:
        raise UsageError(
            f"a model that waits {work_ms:g} ms at {rate:g} requests per second would need {found} instances, "
            f"of 1 to {MOST}; give --work 0 or more, or a lower --rate"
        )
    return found


def wait(workspace: Workspace, endpoint: Endpoint, address: str, work_ms: float, rate: float) -> None:
    """Let the model at Triton's HTTP ``address`` wait so long before each answer, which stays what it was."""
    folder = workspace.triton_repository / endpoint.served_name
    file = folder / "config.pbtxt"
    config = text_format.Parse(file.read_text(), model_config_pb2.ModelConfig())
    config.backend, config.platform, config.default_model_filename = "python", "", ""
    config.instance_group[0].count = instances(work_ms, rate)
    config.parameters[PARAMETER].string_value = str(work_ms / 1e3)
    (folder / str(endpoint.version) / "model.py").write_text(WAITING)
    file.write_text(to_text(config))
    TritonControl(address).load(endpoint.served_name)
