"""The gRPC face: tensorflow.serving.PredictionService and ModelService.

Messages may be of any size. Ports are not shared with another process,
so a port in use is an error and not half of the traffic lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.tfserving import errors
from serving.tfserving.catalog import Servable
from serving.tfserving.classification import CLASSIFY, REGRESS, check_tasks
from serving.tfserving.errors import Code, SetupError, StatusError, invalid
from serving.tfserving.model import Signature
from serving.tfserving.service import ModelRef, Service, feeds_from_protos, grpc_signature, model_ref
from serving.tfserving.tensors import encode_content_into, encode_into

_GRPC_CODE = {code: getattr(grpc.StatusCode, code.name) for code in Code}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService over a Service."""

    def __init__(self, service: Service, as_tensor_content: bool = False) -> None:
        self._service = service
        self._encode = encode_content_into if as_tensor_content else encode_into

    def Predict(self, request: Any, context: Any) -> Any:
        """Run a model; counted in the metrics."""
        return self._counted(context, "Predict", request.model_spec.name, self._predict, request)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        """The signatures of a model; "signature_def" is the only field there is."""
        return _answer(context, self._metadata, request)

    def Classify(self, request: Any, context: Any) -> Any:
        """Classes and scores of tf.Examples."""
        return self._counted(context, "Classify", request.model_spec.name, self._classify, request)

    def Regress(self, request: Any, context: Any) -> Any:
        """One value per tf.Example."""
        return self._counted(context, "Regress", request.model_spec.name, self._regress, request)

    def MultiInference(self, request: Any, context: Any) -> Any:
        """Several signatures of one model on the same tf.Examples."""
        name = request.tasks[0].model_spec.name if request.tasks else ""
        return self._counted(context, "MultiInference", name, self._multi_inference, request)

    def _counted(self, context: Any, api: str, model: str, operation: Callable[[Any], Any], request: Any) -> Any:
        """The answer of an operation; counted in the metrics whichever way it ends."""
        started = perf_counter_ns()
        try:
            response = operation(request)
        except Exception as error:
            status = _as_status(error)
            self._service.count(model, api, "GRPC", status.code, started)
            _abort(context, status)
        self._service.count(model, api, "GRPC", Code.OK, started)
        return response

    def _classify(self, request: Any) -> Any:
        servable = self._service.servable(model_ref(_spec(request)))
        response = classification_pb2.ClassificationResponse()
        result, signature = self._service.classify(servable, request.model_spec.signature_name, request.input)
        response.result.CopyFrom(result)
        _name(response.model_spec, servable, signature)
        return response

    def _regress(self, request: Any) -> Any:
        servable = self._service.servable(model_ref(_spec(request)))
        response = regression_pb2.RegressionResponse()
        result, signature = self._service.regress(servable, request.model_spec.signature_name, request.input)
        response.result.CopyFrom(result)
        _name(response.model_spec, servable, signature)
        return response

    def _multi_inference(self, request: Any) -> Any:
        if not request.tasks:
            raise invalid("Inference request must contain at least one task.")
        check_tasks([task.model_spec.name for task in request.tasks])
        servable = self._service.servable(model_ref(request.tasks[0].model_spec))
        self._service.check_same_input(servable, [task.model_spec.signature_name for task in request.tasks])
        response = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            entry = response.results.add()
            name = task.model_spec.signature_name
            if task.method_name == CLASSIFY:
                result, signature = self._service.classify(servable, name, request.input)
                entry.classification_result.CopyFrom(result)
            elif task.method_name == REGRESS:
                result, signature = self._service.regress(servable, name, request.input)
                entry.regression_result.CopyFrom(result)
            else:
                raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
            _name(entry.model_spec, servable, signature)
        return response

    def _predict(self, request: Any) -> Any:
        spec = _spec(request)
        servable = self._service.servable(model_ref(spec))
        signature = grpc_signature(servable, spec.signature_name)
        feeds = feeds_from_protos(signature, request.inputs)
        outputs = self._service.predict(servable, signature, feeds, request.output_filter)
        response = predict_pb2.PredictResponse()
        _name(response.model_spec, servable, signature)
        for alias, (array, dtype) in outputs.items():
            self._encode(array, dtype, response.outputs[alias])
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


def make_server(
    service: Service, threads: int, options: Sequence[tuple[str, Any]] = (), as_tensor_content: bool = False
) -> Any:
    """A gRPC server with both services, not yet listening. ``options`` are further channel arguments."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grpc")
    server = grpc.server(pool, options=[*_OPTIONS, *options])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionServicer(service, as_tensor_content), server
    )
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


def _name(spec: Any, servable: Servable, signature: Signature) -> None:
    """Say which version of which model answered, by which signature."""
    spec.name = servable.name
    spec.signature_name = signature.name
    spec.version.value = servable.version


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
