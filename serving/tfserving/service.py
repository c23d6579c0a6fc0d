"""What the APIs do, whichever way a request came in: predict, classify, regress, tell status and signatures, reload.

gRPC (`rpc`) and REST (`rest`) are two spellings of these operations; each failure is a StatusError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.tfserving import classification, errors, multi_inference
from serving.tfserving.catalog import Catalog, Servable
from serving.tfserving.config import model_entries
from serving.tfserving.errors import Code, StatusError, invalid
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import DEFAULT_SIGNATURE, Signature
from serving.tfserving.tensors import Array, Dtype, decode


@dataclass(frozen=True)
class ModelRef:
    """Which model, and which version of it: by number, by label, or the latest."""

    name: str
    version: int | None = None
    label: str | None = None


def model_ref(spec: Any) -> ModelRef:
    """The ModelRef of a ModelSpec message."""
    match spec.WhichOneof("version_choice"):
        case "version":
            return ModelRef(spec.name, version=spec.version.value)
        case "version_label":
            return ModelRef(spec.name, label=spec.version_label)
        case _:
            return ModelRef(spec.name)


class Service:
    """The operations over one catalog; ``metrics`` is None when nobody asked for them."""

    def __init__(self, catalog: Catalog, metrics: Metrics | None) -> None:
        self._catalog = catalog
        self._metrics = metrics

    def servable(self, ref: ModelRef) -> Servable:
        """The version that answers ``ref``."""
        return self._catalog.servable(ref.name, ref.version, ref.label)

    def predict(
        self,
        servable: Servable,
        signature: Signature,
        feeds: Mapping[str, Array],
        wanted: Sequence[str] = (),
        timeout_ms: int = 0,
    ) -> dict[str, tuple[Array, Dtype]]:
        """Run a signature on inputs that are complete; ``wanted`` are output aliases, none means all."""
        aliases = _output_aliases(signature, wanted)
        types = [signature.outputs[alias].dtype for alias in aliases]
        started = perf_counter_ns()
        arrays = servable.model.run(signature, feeds, aliases, timeout_ms)
        if self._metrics is not None:
            self._metrics.run(servable.name, "Predict", (perf_counter_ns() - started) / 1000)
        outputs = {}
        for alias, array, dtype in zip(aliases, arrays, types, strict=True):
            if dtype is None:
                raise StatusError(Code.UNIMPLEMENTED, f"Output {alias} has a type the embedded server cannot carry.")
            outputs[alias] = (array, dtype)
        return outputs

    def classify(self, servable: Servable, name: str, message: Any, result: Any) -> Signature:
        """Fill a ClassificationResult for an Input message; gives the signature that answered."""
        signature = classification.signature_for(servable.model, name)
        wanted = classification.classify_outputs(signature)
        count, outputs = self._run_examples(servable, signature, wanted, message, "Classify")
        classification.fill_classifications(count, outputs, result)
        return signature

    def regress(self, servable: Servable, name: str, message: Any, result: Any) -> Signature:
        """Fill a RegressionResult for an Input message; gives the signature that answered."""
        signature = classification.signature_for(servable.model, name)
        wanted = classification.regress_outputs(signature)
        count, outputs = self._run_examples(servable, signature, wanted, message, "Regress")
        classification.fill_regressions(count, outputs, result)
        return signature

    def multi_inference(self, servable: Servable, tasks: Iterable[Any], message: Any, results: Any) -> None:
        """Add an InferenceResult per InferenceTask for one Input message."""
        parts = multi_inference.planned(servable.model, tasks)
        examples = classification.serialized_examples(message)
        answers = [_run_on(servable, part.signature, part.wanted, examples) for part in parts]
        if self._metrics is not None:
            self._metrics.examples(servable.name, len(examples))
        for part, outputs in zip(parts, answers, strict=True):
            entry = results.add()
            part.fill(len(examples), outputs, entry)
            name_answer(entry.model_spec, servable, part.signature)

    def _run_examples(
        self, servable: Servable, signature: Signature, wanted: Sequence[str], message: Any, api: str
    ) -> tuple[int, dict[str, Array]]:
        examples = classification.serialized_examples(message)
        started = perf_counter_ns()
        outputs = _run_on(servable, signature, wanted, examples)
        if self._metrics is not None:
            self._metrics.run(servable.name, api, (perf_counter_ns() - started) / 1000)
            self._metrics.examples(servable.name, len(examples))
        return len(examples), outputs

    def status(self, ref: ModelRef) -> Any:
        """GetModelStatusResponse; NOT_FOUND for a model or version that was never configured.

        TensorFlow Serving does not look at a label here, and tells of every version.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._catalog.status(ref.name, ref.version):
            entry = response.model_version_status.add(version=status.version, state=int(status.state))
            entry.status.error_code = int(status.code)
            entry.status.error_message = status.message
        return response

    def signatures(self, ref: ModelRef) -> tuple[Servable, Any]:
        """The version that answers ``ref``, and its SignatureDefMap."""
        servable = self.servable(ref)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in servable.model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        return servable, signatures

    def reload(self, config: Any) -> None:
        """Serve the models of a ModelServerConfig instead of the present ones."""
        if config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        applied = self._catalog.apply(model_entries(config))
        if applied.failed:
            reasons = ", ".join(
                f"{{{{name: {failed.model} version: {failed.version}}} "
                f"due to error: {failed.code.name}: {failed.message}}}"
                for failed in applied.failed
            )
            raise StatusError(Code.UNKNOWN, f"{len(applied.failed)} model(s) did not become available: {{{reasons}, }}")
        if applied.unavailable_labels:
            raise StatusError(Code.FAILED_PRECONDITION, applied.unavailable_labels[0])

    def count(self, model: str, api: str, entrypoint: str, status: Code, started_ns: int) -> None:
        """Note a finished request in the metrics, if there are any and the model is one of ours."""
        if self._metrics is not None and self._catalog.knows(model):
            microseconds = (perf_counter_ns() - started_ns) / 1000
            self._metrics.request(model, api, entrypoint, status.name, microseconds)


def name_answer(spec: Any, servable: Servable, signature: Signature) -> None:
    """Say in a ModelSpec which version of which model answered, by which signature."""
    spec.name = servable.name
    spec.signature_name = signature.name
    spec.version.value = servable.version


def grpc_signature(servable: Servable, name: str) -> Signature:
    """The signature that a PredictRequest names, or the default one."""
    found = servable.model.signatures.get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise errors.signature_key_not_found(name or DEFAULT_SIGNATURE)
    return found


def rest_signature(servable: Servable, name: str) -> Signature:
    """The same for a REST body, where a missing signature has another text and code."""
    found = servable.model.signatures.get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise errors.signature_name_not_found(name or DEFAULT_SIGNATURE)
    if not found.inputs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    return found


def feeds_from_protos(signature: Signature, sent: Mapping[str, Any]) -> dict[str, Array]:
    """Decode the inputs of a PredictRequest, and check that they are the signature's."""
    inputs = signature.inputs
    if len(sent) > len(inputs) or (len(sent) < len(inputs) and not signature.defaults):
        raise errors.input_size_mismatch(sent, inputs)
    feeds, used = {}, 0
    for alias, endpoint in inputs.items():
        if alias in sent:
            used += 1
            try:
                feeds[alias] = decode(sent[alias])
            except ValueError:
                raise errors.tensor_unreadable(alias) from None
        elif alias in signature.defaults:
            feeds[alias] = signature.defaults[alias]
        else:
            raise errors.input_missing(alias, endpoint.tensor, sent, signature.defaults)
    if used < len(sent):
        raise errors.input_unknown(sent.keys() & inputs.keys(), sent)
    return feeds


def _run_on(servable: Servable, signature: Signature, wanted: Sequence[str], examples: Array) -> dict[str, Array]:
    arrays = servable.model.run(signature, {classification.INPUTS: examples}, wanted, 0)
    return dict(zip(wanted, arrays, strict=True))


def _output_aliases(signature: Signature, wanted: Sequence[str]) -> tuple[str, ...]:
    if not wanted:
        return tuple(signature.outputs)  # which are sorted
    aliases: dict[str, None] = {}
    for alias in wanted:
        if alias not in signature.outputs:
            raise errors.output_unknown(alias, signature.outputs)
        if alias in aliases:
            raise errors.output_repeated(alias)
        aliases[alias] = None
    return tuple(sorted(aliases))
