"""The gRPC face: tensorflow.serving.PredictionService and ModelService.

Predict, GetModelMetadata, GetModelStatus and HandleReloadConfigRequest are here; Classify, Regress and
MultiInference answer UNIMPLEMENTED. Messages may be of any size. Ports are not shared with another process,
so a port in use is an error and not half of the traffic lost.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.tfserving import errors
from serving.tfserving.errors import Code, SetupError, StatusError, invalid
from serving.tfserving.service import ModelRef, Service, feeds_from_protos, grpc_signature, model_ref
from serving.tfserving.tensors import encode_into

_GRPC_CODE = {code: getattr(grpc.StatusCode, code.name) for code in Code}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService over a Service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def Predict(self, request: Any, context: Any) -> Any:
        """Run a model; counted in the metrics."""
        started = perf_counter_ns()
        name = request.model_spec.name
        try:
            response = self._predict(request)
        except Exception as error:
            status = _as_status(error)
            self._service.count(name, "Predict", "GRPC", status.code, started)
            _abort(context, status)
        self._service.count(name, "Predict", "GRPC", Code.OK, started)
        return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        """The signatures of a model; "signature_def" is the only field there is."""
        return _answer(context, self._metadata, request)

    def Classify(self, request: Any, context: Any) -> Any:
        """Left out."""
        _abort(context, errors.api_left_out("Classify"))

    def Regress(self, request: Any, context: Any) -> Any:
        """Left out."""
        _abort(context, errors.api_left_out("Regress"))

    def MultiInference(self, request: Any, context: Any) -> Any:
        """Left out."""
        _abort(context, errors.api_left_out("MultiInference"))

    def _predict(self, request: Any) -> Any:
        spec = _spec(request)
        servable = self._service.servable(model_ref(spec))
        signature = grpc_signature(servable, spec.signature_name)
        feeds = feeds_from_protos(signature, request.inputs)
        outputs = self._service.predict(servable, signature, feeds, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = servable.name
        response.model_spec.signature_name = signature.name
        response.model_spec.version.value = servable.version
        for alias, (array, dtype) in outputs.items():
            encode_into(array, dtype, response.outputs[alias])
        return response

    def _metadata(self, request: Any) -> Any:
        ref = model_ref(_spec(request))
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        servable, signatures = self._service.signatures(ref)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """ModelService over a Service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        """The state of one version, or of all."""
        return _answer(context, self._status, request)

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        """Replace the set of models; answers when the loads have finished."""
        return _answer(context, self._reload, request)

    def _status(self, request: Any) -> Any:
        ref: ModelRef = model_ref(_spec(request))
        return self._service.status(ref)

    def _reload(self, request: Any) -> Any:
        self._service.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = int(Code.OK)
        return response


def make_server(service: Service, threads: int) -> Any:
    """A gRPC server with both services, not yet listening."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grpc")
    server = grpc.server(pool, options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionServicer(service), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(service), server)
    return server


def listen(server: Any, address: str, flag: str) -> None:
    """Bind an address ("127.0.0.1:8500", "unix:/path"); SetupError (exit 3) names the flag."""
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise SetupError(f"gRPC cannot listen on {address}; free it, or choose another with --{flag}.", exit_code=3)


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise errors.missing_model_spec()
    return request.model_spec


def _answer(context: Any, operation: Callable[[Any], Any], request: Any) -> Any:
    try:
        return operation(request)
    except Exception as error:
        _abort(context, _as_status(error))


def _as_status(error: Exception) -> StatusError:
    """A StatusError as it is; anything else is a fault of this server and says so."""
    if isinstance(error, StatusError):
        return error
    return StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _abort(context: Any, status: StatusError) -> None:
    context.abort(_GRPC_CODE[status.code], status.message)
