"""A rollout of TF Serving with the deployed flags and order, ten times faster, on the EMBEDDED server as a stand-in.

The original has no handler for SIGTERM: as process 1 it answers until the grace period ends, and beside the sidecar of
components/usage, where it is not process 1, it dies at once. So here the old pod dies at once when preStop ends: what
loses nothing then loses nothing in the other case. That the stand-in drains at SIGTERM is not made use of.
"""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from urllib.error import HTTPError

import grpc
import numpy as np
import pytest

from contract.codecs.tfserving_grpc import TfServingGrpc
from contract.tensors import TensorSpec
from tests.builders import wait_until
from tests.k8s_pod import Pod
from tests.k8s_pod_tfserving import MODEL, OVERLAY, VERSION, running, store
from tests.k8s_rendered import flags, grace_s, server
from tests.k8s_service import Client, Service, asking, over_http

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FASTER = 10  # than deployed, so that a test takes seconds
LAG_S = 1.0  # what the cluster takes to tell every node that an endpoint has gone
PATH = f"/v1/models/{MODEL}:predict"
BODY = json.dumps({"instances": [1.0, 2.0]}).encode()
OUTPUTS = [TensorSpec(name="y", dtype="float32", dims=["batch", 1])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("store"))


def over_grpc(port: int) -> Client:
    """As every gRPC client: one connection, and another one when the server says that this one is too old."""
    codec = TfServingGrpc()
    body = codec.encode(MODEL, VERSION, {"x": np.ones((1, 1), np.float32)}, OUTPUTS).body
    call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(codec.target(MODEL, VERSION))

    def ask() -> None:
        answer = codec.decode(call(body, timeout=10), {}, OUTPUTS)
        assert answer["y"].tolist() == [[2.5]]

    return Client(ask)


def roll(folder: Path, models: Path, before_s: float) -> list[Client]:
    """Roll from one pod to another; the old one dies ``before_s`` after it begins to leave the endpoints.

    Returns a gRPC client and an HTTP client that has a new connection for each request.
    """
    age = int(flags(OVERLAY)["GRPC_MAX_CONNECTION_AGE_MS"]) // FASTER
    with (
        running(folder / "old.log", models, GRPC_MAX_CONNECTION_AGE_MS=age) as old,
        running(folder / "new.log", models, GRPC_MAX_CONNECTION_AGE_MS=age) as new,
    ):
        services = {name: Service(old.ports[name]) for name in ("grpc", "rest")}
        clients = [over_grpc(services["grpc"].port), over_http(services["rest"].port, PATH, BODY, stays=False)]
        with asking(clients):
            time.sleep(1)  # traffic before the rollout
            leaving = threading.Timer(LAG_S, _leave, (services, new))
            leaving.start()
            time.sleep(before_s)
            old.kill()
            leaving.join()
            ended = time.monotonic()
            assert wait_until(lambda: all(client.answers and client.answers[-1] > ended for client in clients))
        return clients


def _leave(services: dict[str, Service], new: Pod) -> None:
    for name, service in services.items():
        service.endpoint = new.ports[name]


def test_no_request_is_lost_although_the_old_pod_dies_the_moment_its_pre_stop_ends(
    tmp_path: Path, models: Path
) -> None:
    before, after = grace_s(OVERLAY)
    assert after > 0, "preStop's time is part of the grace period: it would be cut off"
    clients = roll(tmp_path, models, before_s=before / FASTER)
    assert [client.lost for client in clients] == [[], []]


def test_without_pre_stop_new_connections_are_lost_until_the_endpoints_have_changed(
    tmp_path: Path, models: Path
) -> None:
    _, each_time_anew = roll(tmp_path, models, before_s=0)
    assert each_time_anew.lost


def test_a_client_that_never_leaves_its_http_connection_loses_it_when_its_pod_dies(
    tmp_path: Path, models: Path
) -> None:
    """TF Serving, too, has no age for HTTP connections."""
    with running(tmp_path / "log", models) as pod:
        client = over_http(pod.ports["rest"], PATH, BODY, stays=True)
        with asking([client]):
            assert wait_until(lambda: bool(client.answers))
            assert not client.lost
            pod.kill()
            assert wait_until(lambda: bool(client.lost))


def test_the_probes_are_answered_by_a_pod_with_its_model(tmp_path: Path, models: Path) -> None:
    with running(tmp_path / "log", models) as pod:
        for probe in ("readinessProbe", "livenessProbe"):
            path = server(OVERLAY)[probe]["httpGet"]["path"]
            pod.get(re.sub("^/v1/models/[^/]+", f"/v1/models/{MODEL}", path), "rest")
        with pytest.raises(HTTPError, match="404"):
            pod.get("/v1/models/another/metadata", "rest")
