"""grpc.health.v1.Health, as --enable_grpc_healthcheck_service of TensorFlow Serving has it.

The server and its two services are SERVING from the moment the ports are open; a model that cannot answer does not
change that. Watch is left out: it would hold one of the threads that answer for as long as a client looks, and
clients take UNIMPLEMENTED for healthy.
"""

from __future__ import annotations

from typing import Any

import grpc

from serving.tfserving.text_protos import message_class

SERVING = 1
SERVICES = frozenset(("", "ModelService", "PredictionService"))


def health_handler() -> Any:
    """The handler to add to a gRPC server."""
    response_class = message_class("HealthCheckResponse")

    def check(request: Any, context: Any) -> Any:
        if request.service not in SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return response_class(status=SERVING)

    method = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=message_class("HealthCheckRequest").FromString,
        response_serializer=response_class.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
