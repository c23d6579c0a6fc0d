"""The REST face: paths, bodies and JSON of TensorFlow Serving's HTTP API.

GET  /v1/models/M[/versions/V|/labels/L][/metadata]
POST /v1/models/M[/versions/V|/labels/L]:predict, :classify, :regress

A path under /v1/ that is neither is 400 "Malformed request"; any other path is a plain 404. Verbs have small letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2

from serving.tfserving import errors, json_document, json_examples, json_tensors, json_text
from serving.tfserving.errors import HTTP_STATUS, Code, StatusError, invalid
from serving.tfserving.http11 import Request, Response
from serving.tfserving.metrics import Metrics
from serving.tfserving.service import ModelRef, Service, rest_signature

_VERSION = r"(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?"
_ACTION = re.compile(rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.IGNORECASE)
_JSON = "application/json"
PATIENT_MS = 30_000  # the original's default; with a timeout as long, a late run is told at its end
_NOT_FOUND_PAGE = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"


class RestApi:
    """Answers HTTP requests. ``timeout_ms`` 0 is no timeout, ``metrics_path`` None is no monitoring.

    A run that takes longer than the timeout is DEADLINE_EXCEEDED, whatever it found. To give one up before its end
    takes a pool of threads, which costs a small model more than itself: only a Predict is, below ``PATIENT_MS``.
    """

    def __init__(
        self,
        service: Service,
        timeout_ms: int,
        metrics: Metrics | None,
        metrics_path: str | None,
        clock_ns: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self._service = service
        self._timeout_ms = timeout_ms
        self._give_up_ms = timeout_ms if timeout_ms < PATIENT_MS else 0
        self._clock_ns = clock_ns
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._operations = {"classify": self._classify, "predict": self._predict, "regress": self._regress}

    def __call__(self, request: Request) -> Response:
        path = request.path
        if path[:4].lower() == "/v1/":
            return self._api(request)
        bare = path.partition("?")[0]
        if self._metrics is not None and bare == self._metrics_path:
            if path != bare:
                return Response(400, "text/plain", f"Unexpected path: {path}. Should be {bare}".encode("latin-1"))
            return Response(200, "text/plain", self._metrics.page().encode())
        return Response(404, "text/html", _NOT_FOUND_PAGE)

    def _api(self, request: Request) -> Response:
        try:
            body = self._dispatch(request)
            code = Code.OK
        except StatusError as error:
            body, code = json_text.error(error.message), error.code
        except Exception as error:  # a fault of this server, which must still answer
            fault = errors.as_status(error)
            body, code = json_text.error(fault.message), fault.code
        return Response(HTTP_STATUS[code], _JSON, body.encode("utf-8", "surrogateescape"))

    def _dispatch(self, request: Request) -> str:
        if request.method == "POST" and (match := _ACTION.fullmatch(request.path)):
            ref, verb = _ref(match), match[4]
            if operation := self._operations.get(verb):  # the pattern takes capitals too, as the original's does
                return self._counted(ref, verb, operation, request.body)
        elif request.method == "GET" and (match := _LOOK.fullmatch(request.path)):
            if match[1] is None:
                raise invalid("Missing model name in request.")
            return self._metadata(_ref(match)) if match[4] == "metadata" else self._status(_ref(match))
        raise errors.malformed_request(request.method, request.path)

    def _counted(self, ref: ModelRef, verb: str, operation: Callable[[ModelRef, bytes], str], body: bytes) -> str:
        """The operation, counted under its verb; over gRPC it is the name of the method, as in TensorFlow Serving."""
        started = perf_counter_ns()
        code = Code.INTERNAL
        try:
            text = operation(ref, body)
            code = Code.OK
        except StatusError as error:
            code = error.code
            raise
        finally:
            self._service.count(ref.name, verb, "REST", code, started)
        return text

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = self._clock_ns()
        yield
        if self._timeout_ms and self._clock_ns() - started > self._timeout_ms * 1_000_000:
            raise errors.timed_out()

    def _predict(self, ref: ModelRef, body: bytes) -> str:
        document = json_document.parse(body)
        name = json_document.signature_name(document)
        servable = self._service.servable(ref)
        signature = rest_signature(servable, name)
        feeds, by_row = json_tensors.read_tensors(document, signature.input_types)
        with self._timed():
            outputs = self._service.predict(servable, signature, feeds, timeout_ms=self._give_up_ms)
        return json_text.rows(outputs) if by_row else json_text.columns(outputs)

    def _classify(self, ref: ModelRef, body: bytes) -> str:
        document = json_document.parse(body)
        name, message = json_document.signature_name(document), json_examples.read_input(document)
        result = classification_pb2.ClassificationResult()
        with self._timed():
            self._service.classify(self._service.servable(ref), name, message, result)
        return json_text.classifications(
            [[(entry.label, entry.score) for entry in item.classes] for item in result.classifications]
        )

    def _regress(self, ref: ModelRef, body: bytes) -> str:
        document = json_document.parse(body)
        name, message = json_document.signature_name(document), json_examples.read_input(document)
        result = regression_pb2.RegressionResult()
        with self._timed():
            self._service.regress(self._service.servable(ref), name, message, result)
        return json_text.regressions([item.value for item in result.regressions])

    def _status(self, ref: ModelRef) -> str:
        return _proto_text(self._service.status(ref)) + "\n"

    def _metadata(self, ref: ModelRef) -> str:
        servable, signatures = self._service.signatures(ref)
        spec = model_pb2.ModelSpec(name=servable.name)
        spec.version.value = servable.version
        return (
            f'{{\n"model_spec":{_proto_text(spec)}\n,\n'
            f'"metadata": {{"signature_def": {_proto_text(signatures)}\n}}\n}}\n'
        )


def _ref(match: re.Match[str]) -> ModelRef:
    version = None
    if match[2] is not None:
        version = int(match[2]) if len(match[2]) < 20 else 1 << 63
        if version >= 1 << 63:
            raise invalid(f"Failed to convert version: {match[2]} to numeric.")
    label = None if match[3] is None else unquote(match[3])
    return ModelRef(unquote(match[1]), version, label)


def _proto_text(message: Any) -> str:
    """A message as TensorFlow Serving prints it: proto field names, defaults included, int64 as strings."""
    return str(
        json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
        )
    )
