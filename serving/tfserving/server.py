"""One server from plan to shutdown: load, then listen, then drain.

Order is the promise. Ports open only after every initial load has finished or failed; stopping refuses new
work first and then waits, bounded, for what is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serving.tfserving import rpc
from serving.tfserving.catalog import Catalog
from serving.tfserving.flags import Settings
from serving.tfserving.http11 import HttpServer
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import SessionOptions, load_model
from serving.tfserving.plan import Plan, host_port, port_error
from serving.tfserving.rest import RestApi
from serving.tfserving.service import Service

GRACE_SECONDS = 10.0

Say = Callable[[str], None]


class Server:
    """A running server; made by `start`."""

    def __init__(self, grpc_server: Any | None, http_server: HttpServer | None, listening: list[str]) -> None:
        self._grpc = grpc_server
        self._http = http_server
        self.listening = listening

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop accepting, finish what is in flight, at most ``grace_seconds`` long."""
        finished = self._grpc.stop(grace_seconds) if self._grpc is not None else None
        if self._http is not None:
            self._http.stop(grace_seconds)
        if finished is not None:
            finished.wait(grace_seconds)


def start(plan: Plan, say: Say) -> Server:
    """Load the models, then open the ports; ``say`` hears what a person should know."""
    settings = plan.settings
    options = SessionOptions(
        tags=tuple(settings.saved_model_tags.split(",")),
        intra_op_threads=settings.tensorflow_intra_op_parallelism,
        inter_op_threads=settings.tensorflow_inter_op_parallelism,
    )
    catalog = Catalog(lambda path: load_model(path, options))
    applied = catalog.apply(plan.models)
    for note in (*plan.notes, *applied.notes, *applied.unavailable_labels):
        say(note)
    for failed in applied.failed:
        say(f"Servable {failed.model} version {failed.version} cannot be loaded: {failed.code.name}: {failed.message}")
    metrics = Metrics() if plan.metrics_path is not None else None
    service = Service(catalog, metrics)
    listening: list[str] = []
    grpc_server = _start_grpc(service, settings, listening)
    http_server = None
    if settings.rest_api_port:
        http_server = HttpServer(
            settings.host,
            settings.rest_api_port,
            RestApi(service, settings.rest_api_timeout_in_ms, metrics, plan.metrics_path),
        )
        try:
            http_server.start()
        except OSError as error:
            raise port_error(settings.host, settings.rest_api_port, "rest_api_port", error) from error
        listening.append(f"REST {host_port(settings.host, settings.rest_api_port)}")
    return Server(grpc_server, http_server, listening)


def _start_grpc(service: Service, settings: Settings, listening: list[str]) -> Any | None:
    if not settings.port and not settings.grpc_socket_path:
        return None
    server = rpc.make_server(service, settings.grpc_max_threads)
    if settings.port:
        address = host_port(settings.host, settings.port)
        rpc.listen(server, address, "port")
        listening.append(f"gRPC {address}")
    if settings.grpc_socket_path:
        rpc.listen(server, f"unix:{settings.grpc_socket_path}", "grpc_socket_path")
        listening.append(f"gRPC unix:{settings.grpc_socket_path}")
    server.start()
    return server
