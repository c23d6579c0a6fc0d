"""The gRPC face: tensorflow.serving.PredictionService and ModelService.

grpc hands over the bytes of a request and takes the bytes of an answer: a request is parsed once, in the thread that
answers it. A request may be as large as a body over REST; a larger one is RESOURCE_EXHAUSTED. Ports are not shared with
another process, so a port in use is an error and not half of the traffic lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.tfserving import errors
from serving.tfserving.call_threads import CallThreads
from serving.tfserving.calls import Calls
from serving.tfserving.errors import Code, SetupError, StatusError
from serving.tfserving.http_body import MAX_BODY
from serving.tfserving.service import Service

PREDICTION, MODELS = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"

Call = Callable[[Any], bytes]
Answer = Callable[[bytes, Any], bytes]

_GRPC_CODE = {code: getattr(grpc.StatusCode, code.name) for code in Code}
_ARGUMENTS = {"grpc.max_send_message_length": -1, "grpc.so_reuseport": 0}


def make_server(
    service: Service,
    threads: CallThreads,
    options: Sequence[tuple[str, Any]] = (),
    as_tensor_content: bool = False,
    largest: int = MAX_BODY,
) -> Any:
    """A gRPC server with both services, not yet listening.

    ``options`` are further channel arguments, which win; ``largest`` is the most bytes of a request.
    """
    # Each named once: of two, gRPC takes the first.
    arguments = {"grpc.max_receive_message_length": largest, **_ARGUMENTS, **dict(options)}
    server = grpc.server(threads, options=list(arguments.items()))
    for name, answers in methods(service, as_tensor_content).items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(_in_its_thread(threads, answer))
            for method, answer in answers.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    return server


def methods(service: Service, as_tensor_content: bool = False) -> dict[str, dict[str, Answer]]:
    """Service -> method -> what answers it. Predict, Classify and Regress are counted, as in TensorFlow Serving."""
    calls = Calls(service, as_tensor_content)
    return {
        PREDICTION: {
            "Predict": _counted(service, "Predict", predict_pb2.PredictRequest, calls.predict),
            "Classify": _counted(service, "Classify", classification_pb2.ClassificationRequest, calls.classify),
            "Regress": _counted(service, "Regress", regression_pb2.RegressionRequest, calls.regress),
            "MultiInference": _plain(inference_pb2.MultiInferenceRequest, calls.multi_inference),
            "GetModelMetadata": _plain(get_model_metadata_pb2.GetModelMetadataRequest, calls.metadata),
        },
        MODELS: {
            "GetModelStatus": _plain(get_model_status_pb2.GetModelStatusRequest, calls.status),
            "HandleReloadConfigRequest": _plain(model_management_pb2.ReloadConfigRequest, calls.reload),
        },
    }


def listen(server: Any, address: str, flag: str) -> None:
    """Bind an address ("127.0.0.1:8500", "unix:/path"); SetupError (exit 3) names the flag."""
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise SetupError(f"gRPC cannot listen on {address}; free it, or choose another with --{flag}.", exit_code=3)


def _in_its_thread(threads: CallThreads, answer: Answer) -> Answer:
    """The same, and the thread is known to work."""

    def answered(raw: bytes, context: Any) -> bytes:
        threads.message_came()
        return answer(raw, context)

    return answered


def _plain(message: Any, call: Call) -> Answer:
    def answer(raw: bytes, context: Any) -> bytes:
        try:
            return call(_parsed(message, raw))
        except Exception as error:
            return _abort(context, errors.as_status(error))

    return answer


def _counted(service: Service, api: str, message: Any, call: Call) -> Answer:
    """The same, counted in the metrics whichever way it ends."""

    def answer(raw: bytes, context: Any) -> bytes:
        started = perf_counter_ns()
        model = ""
        try:
            request = _parsed(message, raw)
            model = request.model_spec.name
            response = call(request)
        except Exception as error:
            status = errors.as_status(error)
            service.count(model, api, "GRPC", status.code, started)
            return _abort(context, status)
        service.count(model, api, "GRPC", Code.OK, started)
        return response

    return answer


def _parsed(message: Any, raw: bytes) -> Any:
    try:
        return message.FromString(raw)
    except DecodeError:
        raise errors.unparsable(message.DESCRIPTOR.full_name) from None


def _abort(context: Any, status: StatusError) -> bytes:
    context.abort(_GRPC_CODE[status.code], status.message)
    raise AssertionError("abort does not return")  # what its type does not say
