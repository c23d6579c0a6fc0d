"""A rollout with the real Triton, the deployed flags and order, ten times faster: who loses requests, and who does not.

Two servers stand for the old and the new pod. In front of them is what a Service is: each new connection goes to the
endpoint of the moment, and stays there.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from tests.k8s_pod import Pod, running
from tests.k8s_rendered import flags, grace_s
from tests.k8s_service import Client, Service, asking, over_http

pytestmark = [pytest.mark.e2e]

FASTER = 10  # than deployed, so that a test takes seconds
LAG_S = 1.0  # what the cluster takes to tell every node that an endpoint has gone
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}).encode()
PATH = "/v2/models/slow/infer"


def over_grpc(port: int) -> Client:
    """As every gRPC client: one connection, and another one when the server says that this one is too old."""
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{port}")
    tensor = triton_grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 1), np.float32))
    return Client(lambda: client.infer("slow", [tensor], client_timeout=10) and None)


def roll(tmp_path: Path, before_s: float, lag_s: float) -> tuple[list[Client], int, float]:
    """Roll from one pod to another; the old one gets SIGTERM ``before_s`` after it begins to leave the endpoints."""
    age = int(flags("gpu")["GRPC_MAX_CONNECTION_AGE_MS"]) // FASTER
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with (
        running(tmp_path / "old", GRPC_MAX_CONNECTION_AGE_MS=age) as old,
        running(tmp_path / "new", GRPC_MAX_CONNECTION_AGE_MS=age) as new,
    ):
        services = {name: Service(old.ports[name]) for name in ("grpc", "http")}
        clients = [over_grpc(services["grpc"].port), over_http(services["http"].port, PATH, BODY, stays=False)]
        with asking(clients):
            time.sleep(1)  # traffic before the rollout
            leaving = threading.Timer(lag_s, _leave, (services, new))
            leaving.start()
            time.sleep(before_s)
            code, seconds = old.terminate()
            leaving.join()
            ended = time.monotonic()
            time.sleep(1)  # and after it
        assert all(client.answers[-1] > ended for client in clients)
        return clients, code, seconds


def _leave(services: dict[str, Service], new: Pod) -> None:
    for name, service in services.items():
        service.endpoint = new.ports[name]


def test_no_request_is_lost_on_a_rollout_by_clients_whose_connections_age(tmp_path: Path) -> None:
    before, after = grace_s("gpu")
    clients, code, seconds = roll(tmp_path, before_s=before / FASTER, lag_s=LAG_S)
    assert [client.lost for client in clients] == [[], []]
    # All had left, so it ended by itself, long before Kubernetes would kill it.
    assert code == 0 and seconds < after / 2


def test_without_pre_stop_new_connections_are_lost_until_the_endpoints_have_changed(tmp_path: Path) -> None:
    (_, each_time_anew), _, _ = roll(tmp_path, before_s=0, lag_s=LAG_S)
    assert each_time_anew.lost


def test_a_client_that_never_leaves_its_http_connection_is_cut_off_when_the_exit_timeout_ends(tmp_path: Path) -> None:
    with running(tmp_path, EXIT_TIMEOUT_SECS=2) as pod:
        client = over_http(pod.ports["http"], PATH, BODY, stays=True)
        with asking([client]):
            time.sleep(1)
            asked = time.monotonic()
            _, seconds = pod.terminate()
        assert seconds > 1.5 and client.answers[-1] - asked > 1.5  # answered all the while,
        assert client.lost  # and then not


def test_readiness_by_model_is_false_of_an_empty_repository_where_the_servers_own_is_true(tmp_path: Path) -> None:
    with running(tmp_path, model=None) as pod:
        pod.get("/v2/health/ready")
        with pytest.raises(HTTPError, match="400"):
            pod.get("/v2/models/slow/ready")


def test_the_startup_probe_passes_only_when_the_model_is_ready(tmp_path: Path) -> None:
    with running(tmp_path) as pod:
        pod.get("/v2/models/slow/ready")
