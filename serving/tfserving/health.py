"""grpc.health.v1.Health, as --enable_grpc_healthcheck_service of TensorFlow Serving has it.

The server and its two services are SERVING from the moment the ports are open until the server stops; a model that
cannot answer does not change that. Who watches is told once at the beginning and once at the end, and holds no thread
in between: its stream is only remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc

from serving.tfserving.text_protos import message_class

SERVICE = "grpc.health.v1.Health"
SERVICES = frozenset(("", "ModelService", "PredictionService"))
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3  # of HealthCheckResponse.ServingStatus

_Response = message_class("HealthCheckResponse")


class Health:
    """Answers Check and Watch; `stop` ends the streams, for which a server that drains would wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # never held while something is sent: grpc's own thread takes it, to forget
        self._status = dict.fromkeys(SERVICES, SERVING)
        self._streams: set[_Stream] = set()
        self._stopped = False

    def handler(self) -> Any:
        """The handler to add to a gRPC server."""

        def watch(request: Any, context: Any, send_response_callback: Callable[[Any], None]) -> None:
            self._watch(request.service, context, send_response_callback)

        watch.experimental_non_blocking = True  # type: ignore[attr-defined] # grpc's way to ask for the callback
        message = {
            "request_deserializer": message_class("HealthCheckRequest").FromString,
            "response_serializer": _Response.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **message),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **message),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def stop(self) -> None:
        """Tell everybody who watches that nothing is served any more, and end their streams."""
        with self._lock:
            self._stopped = True
            self._status = dict.fromkeys(SERVICES, NOT_SERVING)
            streams = list(self._streams)
        for stream in streams:
            stream.tell(self._status.get(stream.service, SERVICE_UNKNOWN), last=True)

    def _check(self, request: Any, context: Any) -> Any:
        status = self._status.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return _Response(status=status)

    def _watch(self, service: str, context: Any, send: Callable[[Any], None]) -> None:
        stream = _Stream(service, send)
        with stream.in_order:
            with self._lock:
                self._streams.add(stream)
                status, last = self._status.get(service, SERVICE_UNKNOWN), self._stopped
            if not context.add_callback(lambda: self._forget(stream)):
                self._forget(stream)  # the client has gone already
                return
            stream.tell(status, last)

    def _forget(self, stream: _Stream) -> None:
        with self._lock:
            self._streams.discard(stream)


class _Stream:
    """One client that watches a service."""

    def __init__(self, service: str, send: Callable[[Any], None]) -> None:
        self.service = service
        self.in_order = threading.RLock()  # held while something is sent, so that the last word comes last
        self._send = send
        self._told: int | None = None

    def tell(self, status: int, last: bool) -> None:
        """Send a status, if it is news to the client; returns when it is on its way. ``last`` ends the stream."""
        with self.in_order:
            if status != self._told:
                self._told = status
                self._send(_Response(status=status))
            if last:
                self._send(None)
