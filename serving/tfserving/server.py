"""One server from plan to shutdown: load, then listen, then drain.

Order is the promise. Ports open only after every initial load has finished or failed; the disk is looked at again
only after that. Stopping refuses new work first and then waits, bounded, for what is in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serving.tfserving import config, flags, rpc
from serving.tfserving.call_threads import CallThreads
from serving.tfserving.catalog import Catalog
from serving.tfserving.errors import SetupError
from serving.tfserving.flags import Settings
from serving.tfserving.health import Health
from serving.tfserving.http_server import HttpServer
from serving.tfserving.loading import Loader
from serving.tfserving.metrics import Metrics
from serving.tfserving.plan import Plan, host_port, port_error
from serving.tfserving.polling import News, Poller
from serving.tfserving.rest import RestApi
from serving.tfserving.rollover import LoadRetries
from serving.tfserving.service import Service
from serving.tfserving.states import Applied

GRACE_SECONDS = 10.0
SHORTEST_RETRY_SECONDS = 1.0

Say = Callable[[str], None]


class Server:
    """A running server; made by `start`."""

    def __init__(
        self,
        grpc_server: Any | None,
        threads: CallThreads,
        health: Health,
        http_server: HttpServer | None,
        pollers: Sequence[Poller],
        listening: list[str],
    ) -> None:
        self._grpc = grpc_server
        self._threads = threads
        self._health = health
        self._http = http_server
        self._pollers = pollers
        self.listening = listening

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop accepting, finish what is in flight, at most ``grace_seconds`` long."""
        for poller in self._pollers:
            poller.stop()
        self._health.stop()  # first: its streams have no end of their own to wait for
        finished = self._grpc.stop(grace_seconds) if self._grpc is not None else None
        if self._http is not None:
            self._http.stop(grace_seconds)
        if finished is not None:
            finished.wait(grace_seconds)
        self._threads.shutdown()


def start(plan: Plan, say: Say) -> Server:
    """Load the models, then open the ports; ``say`` hears what a person should know."""
    settings = plan.settings
    retries = LoadRetries(settings.max_num_load_retries, settings.load_retry_interval_micros / 1e6)
    metrics = Metrics() if plan.metrics_path is not None else None
    catalog = Catalog(
        Loader(plan, say, metrics),
        retries,
        settings.num_load_threads,
        settings.allow_version_labels_for_unavailable_models,
    )
    news = News(say)
    for note in plan.notes:
        say(note)
    _tell(catalog.apply(plan.models), news, say)
    service = Service(catalog, metrics)
    listening: list[str] = []
    health, threads = Health(), CallThreads(settings.grpc_max_threads)
    grpc_server = _start_grpc(service, health, threads, settings, listening)
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
    pollers = _pollers(settings, catalog, retries, news, say)
    for poller in pollers:
        poller.start()
    return Server(grpc_server, threads, health, http_server, pollers, listening)


def _pollers(settings: Settings, catalog: Catalog, retries: LoadRetries, news: News, say: Say) -> list[Poller]:
    """What goes on in the background: looking for versions, or at least retrying, and re-reading the config."""
    pollers = []
    if settings.file_system_poll_wait_seconds:
        every = float(settings.file_system_poll_wait_seconds)
        pollers.append(Poller("file system", every, lambda: _tell(catalog.poll(), news, say), say))
    elif retries.count:
        every = max(retries.interval_seconds, SHORTEST_RETRY_SECONDS)
        pollers.append(Poller("load retry", every, lambda: _tell(catalog.retry(), news, say), say))
    if settings.model_config_file and settings.model_config_file_poll_wait_seconds:
        reread = ConfigFile(Path(settings.model_config_file), catalog, say)
        pollers.append(Poller("model config", float(settings.model_config_file_poll_wait_seconds), reread, say))
    return pollers


class ConfigFile:
    """Brings the catalog to what a models.config says now; one that cannot be read changes nothing.

    The file is applied at each look, as in TensorFlow Serving: what HandleReloadConfigRequest set lasts until then.
    """

    def __init__(self, path: Path, catalog: Catalog, say: Say) -> None:
        self._path = path
        self._catalog = catalog
        self._say = say
        self._news = News(say)

    def __call__(self) -> None:
        try:
            models = config.reread_models(self._path)
        except SetupError as error:
            self._news.hear([f"Failed to read ModelServerConfig file: {error}"])
            return
        if models is None:
            self._news.hear([f"Taking no action for empty config {self._path}"])
            return
        _tell(self._catalog.apply(models, insist=False), self._news, self._say)


def _tell(applied: Applied, news: News, say: Say) -> None:
    news.hear((*applied.notes, *applied.unavailable_labels))
    for failed in applied.failed:
        say(f"Servable {failed.model} version {failed.version} cannot be loaded: {failed.code.name}: {failed.message}")


def _start_grpc(
    service: Service, health: Health, threads: CallThreads, settings: Settings, listening: list[str]
) -> Any | None:
    if not settings.port and not settings.grpc_socket_path:
        return None
    server = rpc.make_server(
        service,
        threads,
        flags.channel_arguments(settings.grpc_channel_arguments),
        settings.enable_serialization_as_tensor_content,
    )
    if settings.enable_grpc_healthcheck_service:
        server.add_generic_rpc_handlers((health.handler(),))
    if settings.port:
        address = host_port(settings.host, settings.port)
        rpc.listen(server, address, "port")
        listening.append(f"gRPC {address}")
    if settings.grpc_socket_path:
        rpc.listen(server, f"unix:{settings.grpc_socket_path}", "grpc_socket_path")
        listening.append(f"gRPC unix:{settings.grpc_socket_path}")
    threads.start()
    server.start()
    return server
