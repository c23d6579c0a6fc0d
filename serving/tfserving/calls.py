"""Every gRPC method: its request message in, the bytes of its response out; each failure is a StatusError.

Predict writes its response by hand (`wire`), the others build the message. A response says which version of which
model answered, and by which signature.
"""

from __future__ import annotations

import functools
from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.tfserving import errors
from serving.tfserving.errors import Code, invalid
from serving.tfserving.service import Service, feeds_from_protos, grpc_signature, model_ref, name_answer
from serving.tfserving.tensors import encode, encode_content
from serving.tfserving.wire import delimited

_RESPONSE_FIELDS = predict_pb2.PredictResponse.DESCRIPTOR.fields_by_name
_OUTPUTS, _MODEL_SPEC = _RESPONSE_FIELDS["outputs"].number, _RESPONSE_FIELDS["model_spec"].number
_ENTRY_KEY, _ENTRY_VALUE = 1, 2  # of every map in protobuf
_REMEMBERED = 1024


class Calls:
    """The methods of PredictionService and ModelService over one Service."""

    def __init__(self, service: Service, as_tensor_content: bool = False) -> None:
        self._service = service
        self._encode = encode_content if as_tensor_content else encode

    def predict(self, request: Any) -> bytes:
        """Run a signature on tensors."""
        spec = _spec(request)
        servable = self._service.servable(model_ref(spec))
        signature = grpc_signature(servable, spec.signature_name)
        feeds = feeds_from_protos(signature, request.inputs)
        outputs = self._service.predict(servable, signature, feeds, request.output_filter)
        parts = []
        for alias, (array, dtype) in outputs.items():
            value = delimited(_ENTRY_VALUE, self._encode(array, dtype))
            parts.append(delimited(_OUTPUTS, _entry_key(alias) + value))
        parts.append(_answered_by(servable.name, servable.version, signature.name))
        return b"".join(parts)

    def classify(self, request: Any) -> bytes:
        """Classes and scores of tf.Examples."""
        servable = self._service.servable(model_ref(_spec(request)))
        response = classification_pb2.ClassificationResponse()
        signature = self._service.classify(servable, request.model_spec.signature_name, request.input, response.result)
        name_answer(response.model_spec, servable, signature)
        return bytes(response.SerializeToString())

    def regress(self, request: Any) -> bytes:
        """One value per tf.Example."""
        servable = self._service.servable(model_ref(_spec(request)))
        response = regression_pb2.RegressionResponse()
        signature = self._service.regress(servable, request.model_spec.signature_name, request.input, response.result)
        name_answer(response.model_spec, servable, signature)
        return bytes(response.SerializeToString())

    def multi_inference(self, request: Any) -> bytes:
        """Several signatures of one model on the same tf.Examples."""
        # without a task this is the empty ModelSpec, which is refused as such
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        servable = self._service.servable(model_ref(spec))
        response = inference_pb2.MultiInferenceResponse()
        self._service.multi_inference(servable, request.tasks, request.input, response.results)
        return bytes(response.SerializeToString())

    def metadata(self, request: Any) -> bytes:
        """The signatures of a model; "signature_def" is the only field there is."""
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
        return bytes(response.SerializeToString())

    def status(self, request: Any) -> bytes:
        """The state of one version, or of all."""
        return bytes(self._service.status(model_ref(_spec(request))).SerializeToString())

    def reload(self, request: Any) -> bytes:
        """Replace the set of models; answers when the loads have finished."""
        self._service.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = int(Code.OK)
        return bytes(response.SerializeToString())


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise errors.missing_model_spec()
    return request.model_spec


@functools.lru_cache(maxsize=_REMEMBERED)
def _entry_key(alias: str) -> bytes:
    return delimited(_ENTRY_KEY, alias.encode())


@functools.lru_cache(maxsize=_REMEMBERED)
def _answered_by(name: str, version: int, signature: str) -> bytes:
    """The model_spec of a PredictResponse."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = version
    return delimited(_MODEL_SPEC, bytes(spec.SerializeToString()))
